#pragma once
// Which keys and names may be.

#include <snakepit/error.hpp>

#include <optional>
#include <string_view>

namespace snakepit::detail {

/// @param what  "the session's key", "the variable's name"
/// @return  errc::invalid_name, or nothing
[[nodiscard]] std::optional<error> refuse_name(std::string_view name, const char* what);

}  // namespace snakepit::detail
