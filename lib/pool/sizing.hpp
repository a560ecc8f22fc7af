#pragma once
// How many workers a pool should have. No I/O, no clock.

#include "pool/switchboard.hpp"

#include <snakepit/options.hpp>

#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

namespace snakepit::detail {

/// What is wrong with these numbers, together with the length of the queue; empty: nothing.
[[nodiscard]] std::vector<option_mistake> mistakes_of(worker_count wanted, std::size_t queue_limit);
/// All of them in one line.
[[nodiscard]] std::string describe(const std::vector<option_mistake>& mistakes);
/// As many as there may be at most.
[[nodiscard]] std::size_t most_of(worker_count wanted);

/// A worker that is to stay, as far as the size of its pool depends on it.
struct worker_view {
    using time_point = std::chrono::steady_clock::time_point;

    enum class condition {
        failing,  ///< out of service, or it could not start so far
        coming,   ///< on its way, for the first time or again
        serving
    };
    condition is = condition::coming;
    std::size_t load = 0;
    std::optional<time_point> idle_since{};  ///< without anything to do, as far as anybody has looked
};

struct sizing {
    std::size_t hire = 0;
    std::vector<std::size_t> dismiss;  ///< positions in the views
    /// When idle time may next be over.
    worker_view::time_point look_again = worker_view::time_point::max();
};

/** What is to be done now, for a pool that may have `wanted` workers.

    Below the minimum all that are missing come at once, above the maximum all that are too many go. Calls that have
    waited too long bring as many as there are of them, but only while fewer are on their way than serve, and never more
    than eight: a pool doubles until it is large enough. One without any worker brings one for the first call. Idle time
    takes away down to the minimum. */
[[nodiscard]] sizing size_for(worker_count wanted, const scaling_options& how, const std::vector<worker_view>& workers,
                              const backlog& calls, worker_view::time_point now);

}  // namespace snakepit::detail
