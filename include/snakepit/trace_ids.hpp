#pragma once
/// @file
/// Ids of traces and spans: https://www.w3.org/TR/trace-context/

#include <snakepit/export.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace snakepit {

/// An id of so many bytes. All zeros: none.
template <std::size_t Bytes>
struct binary_id {
    std::array<std::uint8_t, Bytes> bytes{};

    explicit operator bool() const noexcept { return *this != binary_id(); }
    bool operator==(const binary_id&) const = default;
};
using trace_id = binary_id<16>;
using span_id = binary_id<8>;

/// Its lower-case hex digits; empty: it is none.
[[nodiscard]] SNAKEPIT_API std::string to_string(const trace_id& id);
[[nodiscard]] SNAKEPIT_API std::string to_string(const span_id& id);

}  // namespace snakepit
