#pragma once
// One run: a pool, callers, trouble; then what came of it.

#include "stress/chaos/checker.hpp"
#include "stress/chaos/schedule.hpp"
#include "stress/chaos/session_history.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace snakepit::chaos {

struct settings {
    std::chrono::seconds length{30};
    std::uint64_t seed = 0;
    unsigned workers = 4;
};

struct findings {
    history seen;
    session_history sessions;
    std::map<deed, int> done;
    std::vector<violation> violations;      ///< of calls and sessions
    std::vector<std::string> not_restored;  ///< of the pool's capacity, and of what it holds when all is quiet
    std::vector<std::string> left_behind;   ///< when the pool has gone

    [[nodiscard]] bool all_is_well() const { return violations.empty() && not_restored.empty() && left_behind.empty(); }
};

/// Which of the ways to start and to serve workers this seed is about.
[[nodiscard]] std::string setup_of(const settings& how);

/// @throws std::runtime_error  when the pool does not start
[[nodiscard]] findings run(const settings& how);

}  // namespace snakepit::chaos
