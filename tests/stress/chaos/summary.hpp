#pragma once
// A run in a few lines.

#include "stress/chaos/run.hpp"

#include <string>

namespace snakepit::chaos {

[[nodiscard]] std::string summary_of(const findings& f);

}  // namespace snakepit::chaos
