#pragma once
// Does to a pool what the schedule says.

#include "stress/chaos/load.hpp"
#include "stress/chaos/schedule.hpp"

#include <map>
#include <memory>

namespace snakepit::chaos {

/** @par Thread safety  everything on the load's strand */
class disturbance : public std::enable_shared_from_this<disturbance> {
public:
    disturbance(pool& of, std::shared_ptr<load> callers, strand where)
        : pool_(of), load_(std::move(callers)), on_(std::move(where)) {}

    /// Completes when all is done, and whoever was paused has been continued.
    static asio::awaitable<void> run(std::shared_ptr<disturbance> self, std::vector<planned> schedule);

    /// What was really done: a worker that is not there cannot be killed.
    [[nodiscard]] const std::map<deed, int>& done() const { return done_; }

private:
    bool act(const planned& p);
    bool ask(std::string_view tool, unsigned amount, clock::duration timeout);
    bool kill_any(const planned& p);
    bool kill_launcher();
    bool pause(const planned& p);
    bool recycle(const planned& p);
    bool resize(const planned& p);
    [[nodiscard]] worker_stats worker(const planned& p) const;

    pool& pool_;
    std::shared_ptr<load> load_;
    strand on_;
    clock::time_point last_continue_{};
    std::map<deed, int> done_;
};

}  // namespace snakepit::chaos
