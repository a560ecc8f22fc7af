#pragma once
// Judges what came of maps. Pure: no pool, no clock.

#include "stress/chaos/map_history.hpp"
#include "stress/chaos/violation.hpp"

#include <deque>
#include <vector>

namespace snakepit::chaos {

/// One result for each item, in order when that was asked for, and never more items at once than the window has.
[[nodiscard]] std::vector<violation> check_maps(const std::deque<map_record>& of);

}  // namespace snakepit::chaos
