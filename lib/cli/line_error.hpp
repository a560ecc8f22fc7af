#pragma once
// How a failure looks in the output of `snakepit map`.

#include <snakepit/error.hpp>

#include <cstdint>
#include <string>

namespace snakepit::cli {

/// {"error":{"code":"tool_raised","message":"...","type":"ValueError"},"line":3}; the type is that of the Python
/// exception, or null.
[[nodiscard]] std::string line_error(const error& why, std::uint64_t line);

}  // namespace snakepit::cli
