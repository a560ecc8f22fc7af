#pragma once
// Judges what became of the calls. Pure: no pool, no clock.

#include "stress/chaos/history.hpp"
#include "stress/chaos/violation.hpp"

#include <vector>

namespace snakepit::chaos {

struct rules {
    /// How much later than its deadline or its cancellation a caller may hear.
    clock::duration grace = std::chrono::seconds(1);
    std::size_t at_once = 1;    ///< calls that a worker executes beside each other
    std::size_t max_batch = 8;  ///< or calls of a batch tool, which it executes together
};

/// Every violation, by call.
[[nodiscard]] std::vector<violation> check(const history& of, const rules& by);

/// How long the most patient caller waited past its deadline or cancellation; may be negative.
[[nodiscard]] clock::duration worst_delay(const history& of);

}  // namespace snakepit::chaos
