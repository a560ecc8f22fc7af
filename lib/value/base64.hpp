#pragma once
// Bytes as base64, as RFC 4648 has it.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit::detail {

[[nodiscard]] std::string to_base64(std::span<const std::byte> bytes);

/// Strict: padded, no other characters, no bits that mean nothing; so there is one text for any bytes.
[[nodiscard]] std::optional<std::vector<std::uint8_t>> from_base64(std::string_view text);

}  // namespace snakepit::detail
