#pragma once
// Errors by the names that they have in C++, for those who have no C++.

#include <string_view>
#include <system_error>

namespace snakepit::detail {

/// "worker_lost"; "unknown" for codes that are not ours.
[[nodiscard]] std::string_view name_of(const std::error_code& code);

}  // namespace snakepit::detail
