#pragma once
// "Did you mean": names close to one that does not exist.

#include <snakepit/error.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace snakepit::detail {

/// "did you mean a, b?", or what names there are when none is near.
[[nodiscard]] std::string nearest_names(std::string_view wanted, const std::vector<std::string>& names);
[[nodiscard]] error unknown_tool_error(const std::string& wanted, const std::vector<std::string>& names);

}  // namespace snakepit::detail
