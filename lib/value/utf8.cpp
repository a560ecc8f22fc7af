#include "value/utf8.hpp"

#include <snakepit/value.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace snakepit::detail {
namespace {

bool is_continuation(std::uint8_t byte) noexcept { return (byte & 0xC0) == 0x80; }

/// Bytes of the character that begins at `at`, a byte of 0x80 or more; 0 when it is not well-formed.
std::size_t length_of_character(const std::uint8_t* at, std::size_t left) noexcept {
    const std::uint8_t lead = at[0];
    // The bounds of the second byte exclude overlong forms, surrogates, and what is above U+10FFFF.
    std::uint8_t low = 0x80;
    std::uint8_t high = 0xBF;
    std::size_t length = 0;
    if (lead >= 0xC2 && lead <= 0xDF) {
        length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        length = 3;
        if (lead == 0xE0) low = 0xA0;
        if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        length = 4;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
    } else {
        return 0;
    }
    if (left < length || at[1] < low || at[1] > high) return 0;
    for (std::size_t i = 2; i < length; ++i)
        if (!is_continuation(at[i])) return 0;
    return length;
}

}  // namespace

bool is_utf8(std::string_view text) noexcept {
    const auto* at = reinterpret_cast<const std::uint8_t*>(text.data());
    std::size_t left = text.size();
    while (left != 0) {
        // Most text is ASCII: eight bytes at a time.
        while (left >= 8) {
            std::uint64_t eight;
            std::memcpy(&eight, at, sizeof eight);
            if ((eight & 0x8080808080808080U) != 0) break;
            at += 8;
            left -= 8;
        }
        if (left == 0) break;
        const std::size_t length = *at < 0x80 ? 1 : length_of_character(at, left);
        if (length == 0) return false;
        at += length;
        left -= length;
    }
    return true;
}

std::string valid_utf8(std::string text) {
    if (is_utf8(text)) return text;
    const auto quoted = value(std::move(text)).dump(-1, ' ', false, value::error_handler_t::replace);
    return value::parse(quoted).get<std::string>();
}

}  // namespace snakepit::detail
