#pragma once
// Whatever a worker's tools have started, found by a mark, wherever it has gone.

#include <cstdint>
#include <set>

namespace snakepit::detail {

/** The soft limit RLIMIT_LOCKS of a worker and of all that descends from it: inherited through fork, exec and setsid,
    and without effect since Linux 2.4. The worker puts it on itself (py/snakepit/_strays.py). */
using stray_mark = std::uint64_t;

/// One that no other worker has.
[[nodiscard]] stray_mark random_mark();

/** SIGKILL for every process of this user that has one of the marks, the workers themselves included, and for what they
    fork meanwhile. For workers that have no launcher any more, which does it otherwise.

    @par Thread safety  safe */
void end_strays(std::set<stray_mark> marks);

}  // namespace snakepit::detail
