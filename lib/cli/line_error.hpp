#pragma once
// How a failure looks in the output of `snakepit map`.

#include <snakepit/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace snakepit::cli {

/// The name of a code as it is in `errc`: "tool_raised".
[[nodiscard]] std::string_view name_of(const std::error_code& code);

/// {"error":{"code":"tool_raised","message":"...","type":"ValueError"},"line":3}; the type is that of the Python
/// exception, or null.
[[nodiscard]] std::string line_error(const error& why, std::uint64_t line);

}  // namespace snakepit::cli
