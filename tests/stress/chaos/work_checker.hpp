#pragma once
// Judges what went on in the workers. Pure: no pool, no clock.

#include "stress/chaos/journal.hpp"
#include "stress/chaos/violation.hpp"

#include <cstddef>
#include <set>
#include <vector>

namespace snakepit::chaos {

struct work_rules {
    std::size_t at_once = 1;    ///< runs of tools in one process
    std::size_t max_batch = 8;  ///< calls in one run
};

/// No worker holds anything: whatever those that are there have begun must have been left.
struct moment_of_rest {
    std::size_t lines = 0;  ///< of the journal until then
    std::set<int> idle{};   ///< processes
};

[[nodiscard]] std::vector<violation> check_work(const journal& of, const moment_of_rest& rest, const work_rules& by);

}  // namespace snakepit::chaos
