#pragma once

#include <chrono>
#include <string>

namespace snakepit::detail {

/// "2026-01-31T12:00:00.000Z"
[[nodiscard]] std::string rfc3339(std::chrono::system_clock::time_point t);

}  // namespace snakepit::detail
