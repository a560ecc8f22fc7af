#pragma once
// Judges what sessions did. Pure: no pool, no clock. Of two things one came first for certain only when it was known to
// be done before the other began; what may be explained by anything that overlaps is no violation.

#include "stress/chaos/session_history.hpp"
#include "stress/chaos/violation.hpp"

#include <vector>

namespace snakepit::chaos {

/// What was read and written: stale reads, lost writes, sessions that mix, increments.
[[nodiscard]] std::vector<violation> check_variables(const session_history& of);

/// When sessions began and ended: for a reason, one after the other, and for good.
[[nodiscard]] std::vector<violation> check_lives(const session_history& of);

/// Which processes served the calls of a session, and what their callers were told about it.
[[nodiscard]] std::vector<violation> check_affinity(const session_history& of);

}  // namespace snakepit::chaos
