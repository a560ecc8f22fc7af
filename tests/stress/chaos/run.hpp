#pragma once
// One run: a pool, callers, trouble; then what came of it.

#include "stress/chaos/checker.hpp"
#include "stress/chaos/map_history.hpp"
#include "stress/chaos/schedule.hpp"
#include "stress/chaos/session_history.hpp"
#include "stress/chaos/stream_history.hpp"
#include "stress/chaos/work_checker.hpp"

#include <snakepit/stats.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit::chaos {

struct settings {
    std::chrono::seconds length{30};
    std::uint64_t seed = 0;
    unsigned workers = 4;
    std::optional<worker_profile> profile;  ///< nothing: as the seed says
};

struct findings {
    history seen;
    session_history sessions;
    std::deque<stream_record> streams;
    std::deque<map_record> maps;
    moment_of_rest rest;
    pool_stats told;  ///< by the pool, at its end
    std::map<deed, int> done;
    std::vector<violation> violations;
    std::vector<std::string> not_restored;  ///< of the pool's capacity, and of what it holds when all is quiet
    std::vector<std::string> left_behind;   ///< when the pool has gone

    [[nodiscard]] bool all_is_well() const { return violations.empty() && not_restored.empty() && left_behind.empty(); }
};

[[nodiscard]] worker_profile profile_of(const settings& how);
[[nodiscard]] std::string_view name_of(worker_profile p);
/// Which of the ways to start and to serve workers this seed is about.
[[nodiscard]] std::string setup_of(const settings& how);

/// @throws std::runtime_error  when the pool does not start
[[nodiscard]] findings run(const settings& how);

}  // namespace snakepit::chaos
