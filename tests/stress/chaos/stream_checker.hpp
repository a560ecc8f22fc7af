#pragma once
// Judges what came over streams. Pure: no pool, no clock.

#include "stress/chaos/stream_history.hpp"
#include "stress/chaos/violation.hpp"

#include <deque>
#include <vector>

namespace snakepit::chaos {

/// Items come in order, without a gap, none twice, none too many; and a value only behind all of them.
[[nodiscard]] std::vector<violation> check_streams(const std::deque<stream_record>& of);

}  // namespace snakepit::chaos
