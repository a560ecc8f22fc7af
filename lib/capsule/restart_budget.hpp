#pragma once
// How many restarts are too many.

#include <chrono>
#include <cstddef>
#include <deque>
#include <mutex>

namespace snakepit::detail {

/** At most `limit` restarts within any `window`.

    @par Thread safety  every member from any thread: the pool's is shared by its capsules */
class restart_budget {
public:
    using clock = std::chrono::steady_clock;

    restart_budget(int limit, clock::duration window) : limit_(static_cast<std::size_t>(limit)), window_(window) {}

    /// @return  whether there may be one more now; then it counts
    [[nodiscard]] bool take(clock::time_point now) {
        const std::lock_guard lock(mutex_);
        while (!taken_.empty() && taken_.front() + window_ <= now) taken_.pop_front();
        if (taken_.size() >= limit_) return false;
        taken_.push_back(now);
        return true;
    }

private:
    const std::size_t limit_;
    const clock::duration window_;
    std::mutex mutex_;
    std::deque<clock::time_point> taken_;
};

}  // namespace snakepit::detail
