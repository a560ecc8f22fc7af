#include "value/base64.hpp"

#include <algorithm>
#include <array>

namespace snakepit::detail {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t no_digit = 0xFF;

constexpr auto digits = [] {
    std::array<std::uint8_t, 256> table{};
    table.fill(no_digit);
    for (std::size_t i = 0; i < alphabet.size(); ++i)
        table[static_cast<std::uint8_t>(alphabet[i])] = static_cast<std::uint8_t>(i);
    return table;
}();

}  // namespace

std::string to_base64(std::span<const std::byte> bytes) {
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const std::size_t taken = std::min<std::size_t>(3, bytes.size() - at);
        std::uint32_t bits = 0;
        for (std::size_t i = 0; i < 3; ++i)
            bits = bits << 8 | (i < taken ? std::to_integer<std::uint32_t>(bytes[at + i]) : 0);
        for (std::size_t i = 0; i < 4; ++i) text += i <= taken ? alphabet[bits >> (18 - 6 * i) & 0x3F] : '=';
    }
    return text;
}

std::optional<std::vector<std::uint8_t>> from_base64(std::string_view text) {
    if (text.size() % 4 != 0) return std::nullopt;
    std::vector<std::uint8_t> bytes;
    bytes.reserve(text.size() / 4 * 3);
    for (std::size_t at = 0; at < text.size(); at += 4) {
        auto four = text.substr(at, 4);
        if (at + 4 == text.size())
            for (int i = 0; i < 2 && four.ends_with('='); ++i) four.remove_suffix(1);
        std::uint32_t bits = 0;
        for (const char c : four) {
            const auto digit = digits[static_cast<std::uint8_t>(c)];
            if (digit == no_digit) return std::nullopt;
            bits = bits << 6 | digit;
        }
        bits <<= 6 * (4 - four.size());
        const std::size_t count = four.size() - 1;
        if ((bits & (0xFFFFFFU >> (8 * count))) != 0) return std::nullopt;
        for (std::size_t i = 0; i < count; ++i) bytes.push_back(static_cast<std::uint8_t>(bits >> (16 - 8 * i) & 0xFF));
    }
    return bytes;
}

}  // namespace snakepit::detail
