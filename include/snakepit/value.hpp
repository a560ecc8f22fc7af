#pragma once
/// @file
/// What travels between C++ and Python.

#include <snakepit/export.hpp>

#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace snakepit {

/** Any value: null, bool, int64, uint64, double (NaN and infinities too), UTF-8 text, bytes, lists, maps with text
    keys, and arrays (array.hpp), nested up to 500 levels. Types survive the journey in both directions. */
using value = nlohmann::json;

/// A value of raw bytes: `bytes` in Python.
[[nodiscard]] inline value bytes(std::vector<std::uint8_t> data) { return value::binary(std::move(data)); }

/** Keyword arguments for a tool: `args("text", text, "limit", 10)`.

    Takes name and value in turn, each value anything that nlohmann::json can be made from. `args()` is no arguments. */
template <class... NamesAndValues>
[[nodiscard]] value args(NamesAndValues&&... pairs) {
    static_assert(sizeof...(pairs) % 2 == 0, "args takes a name and a value in turn");
    value object = value::object();
    if constexpr (sizeof...(pairs) != 0) {
        const auto put = [&object](auto& self, auto&& name, auto&& item, auto&&... rest) -> void {
            static_assert(std::is_convertible_v<decltype(name), std::string>, "the name of an argument is text");
            object[std::string(std::forward<decltype(name)>(name))] = std::forward<decltype(item)>(item);
            if constexpr (sizeof...(rest) != 0) self(self, std::forward<decltype(rest)>(rest)...);
        };
        put(put, std::forward<NamesAndValues>(pairs)...);
    }
    return object;
}

/** Positional arguments for a tool: `list(1, "two", 3.0)`. Also where g++ 12 cannot compile the initializer list of
    `value::array({...})`: inside a co_await expression. */
template <class... Items>
[[nodiscard]] value list(Items&&... items) {
    value array = value::array();
    (array.push_back(value(std::forward<Items>(items))), ...);
    return array;
}

}  // namespace snakepit
