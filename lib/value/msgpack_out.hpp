#pragma once
// The pieces of MessagePack, appended to a std::string or a vector of bytes.
//
// nlohmann's own writer takes about twice as long for small values, before anything is checked, and writes lengths over
// 32 bits without saying so.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

namespace snakepit::detail {

/// Every length in MessagePack has at most 32 bits.
inline constexpr std::size_t max_msgpack_length = 0xFFFF'FFFF;

template <class Out>
void put_raw(Out& to, const void* data, std::size_t size) {
    const auto* from = static_cast<const typename Out::value_type*>(data);
    if constexpr (requires { to.append(from, size); }) to.append(from, size);
    else to.insert(to.end(), from, from + size);
}

template <class Out>
void put_byte(Out& to, unsigned byte) {
    to.push_back(static_cast<typename Out::value_type>(byte));
}

/// A tag and a number behind it, big-endian.
template <class Number, class Out>
void put_tagged(Out& to, std::uint8_t tag, std::uint64_t number) {
    static_assert(std::is_unsigned_v<Number>);
    std::uint8_t bytes[1 + sizeof(Number)];
    bytes[0] = tag;
    for (std::size_t i = 0; i < sizeof(Number); ++i)
        bytes[1 + i] = static_cast<std::uint8_t>(number >> (8 * (sizeof(Number) - 1 - i)));
    put_raw(to, bytes, sizeof bytes);
}

template <class Out>
void put_unsigned(Out& to, std::uint64_t n) {
    if (n < 0x80) put_byte(to, static_cast<unsigned>(n));
    else if (n <= 0xFF) put_tagged<std::uint8_t>(to, 0xCC, n);
    else if (n <= 0xFFFF) put_tagged<std::uint16_t>(to, 0xCD, n);
    else if (n <= 0xFFFF'FFFF) put_tagged<std::uint32_t>(to, 0xCE, n);
    else put_tagged<std::uint64_t>(to, 0xCF, n);
}

template <class Out>
void put_integer(Out& to, std::int64_t n) {
    const auto bits = static_cast<std::uint64_t>(n);
    if (n >= 0) put_unsigned(to, bits);
    else if (n >= -32) put_byte(to, static_cast<unsigned>(bits & 0xFF));
    else if (n >= INT8_MIN) put_tagged<std::uint8_t>(to, 0xD0, bits);
    else if (n >= INT16_MIN) put_tagged<std::uint16_t>(to, 0xD1, bits);
    else if (n >= INT32_MIN) put_tagged<std::uint32_t>(to, 0xD2, bits);
    else put_tagged<std::uint64_t>(to, 0xD3, bits);
}

template <class Out>
void put_double(Out& to, double d) {
    std::uint64_t bits;
    std::memcpy(&bits, &d, sizeof bits);
    put_tagged<std::uint64_t>(to, 0xCB, bits);
}

// The heads below take lengths up to max_msgpack_length.

template <class Out>
void put_text(Out& to, std::string_view text) {
    const std::size_t n = text.size();
    if (n < 32) put_byte(to, 0xA0 | static_cast<unsigned>(n));
    else if (n <= 0xFF) put_tagged<std::uint8_t>(to, 0xD9, n);
    else if (n <= 0xFFFF) put_tagged<std::uint16_t>(to, 0xDA, n);
    else put_tagged<std::uint32_t>(to, 0xDB, n);
    put_raw(to, text.data(), n);
}

template <class Out>
void put_bytes(Out& to, const void* data, std::size_t n) {
    if (n <= 0xFF) put_tagged<std::uint8_t>(to, 0xC4, n);
    else if (n <= 0xFFFF) put_tagged<std::uint16_t>(to, 0xC5, n);
    else put_tagged<std::uint32_t>(to, 0xC6, n);
    put_raw(to, data, n);
}

template <class Out>
void put_ext(Out& to, std::uint8_t code, const void* data, std::size_t n) {
    if (n <= 0xFF) put_tagged<std::uint8_t>(to, 0xC7, n);
    else if (n <= 0xFFFF) put_tagged<std::uint16_t>(to, 0xC8, n);
    else put_tagged<std::uint32_t>(to, 0xC9, n);
    put_byte(to, code);
    put_raw(to, data, n);
}

template <class Out>
void put_list_head(Out& to, std::size_t n) {
    if (n < 16) put_byte(to, 0x90 | static_cast<unsigned>(n));
    else if (n <= 0xFFFF) put_tagged<std::uint16_t>(to, 0xDC, n);
    else put_tagged<std::uint32_t>(to, 0xDD, n);
}

template <class Out>
void put_map_head(Out& to, std::size_t n) {
    if (n < 16) put_byte(to, 0x80 | static_cast<unsigned>(n));
    else if (n <= 0xFFFF) put_tagged<std::uint16_t>(to, 0xDE, n);
    else put_tagged<std::uint32_t>(to, 0xDF, n);
}

}  // namespace snakepit::detail
