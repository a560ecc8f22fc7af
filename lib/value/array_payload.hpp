#pragma once
// What stands inside MessagePack's ext type of an array: [descr, shape, data].

#include "value/dtype.hpp"

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace snakepit::detail {

struct array_payload {
    dtype type;
    std::vector<std::size_t> shape;
    std::span<const std::byte> data;  ///< points into what was parsed; as long as type and shape say
};

/** Takes a payload apart and checks all of it, trusting nothing.
    @return  or errc::unserializable with the reason */
[[nodiscard]] result<array_payload> parse_array_payload(std::string_view bytes);

/// The payload of an array whose parts fit each other. At most 4 GiB of data can be written.
[[nodiscard]] std::vector<std::uint8_t> make_array_payload(const value& descr, const std::vector<std::size_t>& shape,
                                                           std::span<const std::byte> data);

/// Whether data of so many bytes fits shape and dtype; the message says what would.
[[nodiscard]] result<void> check_array_size(const dtype& type, const std::vector<std::size_t>& shape,
                                            std::size_t bytes);

/// The bytes of a binary as the parser takes them.
[[nodiscard]] inline std::string_view as_text(const value::binary_t& binary) noexcept {
    return {reinterpret_cast<const char*>(binary.data()), binary.size()};
}

}  // namespace snakepit::detail
