#pragma once
// Between values and C++ types.

#include <snakepit/value.hpp>

#include <cstdint>
#include <type_traits>
#include <utility>

namespace snakepit::detail {

template <class T>
inline constexpr bool is_integer =
    std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char> && !std::is_same_v<T, wchar_t> &&
    !std::is_same_v<T, char8_t> && !std::is_same_v<T, char16_t> && !std::is_same_v<T, char32_t>;

/// Whether a number goes into T unharmed; nlohmann's conversions would cut it to size.
template <class T>
bool fits(const value& reply) {
    if constexpr (is_integer<T>) {
        if (reply.is_number_unsigned()) return std::in_range<T>(reply.get<std::uint64_t>());
        if (reply.is_number_integer()) return std::in_range<T>(reply.get<std::int64_t>());
        return !reply.is_number_float() && !reply.is_boolean();
    } else {
        return true;
    }
}

}  // namespace snakepit::detail
