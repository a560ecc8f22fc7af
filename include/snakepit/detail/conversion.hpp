#pragma once
// Between values and C++ types.

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <cstdint>
#include <exception>
#include <string>
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

/// The reply as T by nlohmann's conversions.
template <class T>
result<T> reply_as(result<value> reply, const std::string& tool) {
    if (!reply) return tl::unexpected(std::move(reply).error());
    if constexpr (std::is_void_v<T>) {
        return {};
    } else if constexpr (std::is_same_v<T, value>) {
        return std::move(*reply);
    } else {
        const auto mismatch = [&](const std::string& why) {
            return tl::unexpected(error(errc::type_mismatch, "the reply is no such C++ type: " + why).with_tool(tool));
        };
        if (!fits<T>(*reply)) return mismatch(reply->dump(-1, ' ', false, value::error_handler_t::replace));
        try {
            return reply->template get<T>();
        } catch (const std::exception& e) {  // the user's conversion may throw anything
            return mismatch(e.what());
        }
    }
}

}  // namespace snakepit::detail
