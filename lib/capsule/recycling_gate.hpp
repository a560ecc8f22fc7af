#pragma once
// How many workers may be replaced at once.

#include <deque>
#include <functional>
#include <mutex>
#include <utility>

namespace snakepit::detail {

/** First come, first served.

    @par Thread safety  every member from any thread */
class recycling_gate {
public:
    explicit recycling_gate(int places) : places_(places) {}

    /// @param turn  called once, here or in some `leave`, when there is a place; hands over and leaves
    void enter(std::function<void()> turn) {
        {
            const std::lock_guard lock(mutex_);
            if (places_ == 0) {
                waiting_.push_back(std::move(turn));
                return;
            }
            --places_;
        }
        turn();
    }
    /// Gives a place back, for each turn that came.
    void leave() {
        std::function<void()> next;
        {
            const std::lock_guard lock(mutex_);
            if (waiting_.empty()) {
                ++places_;
                return;
            }
            next = std::move(waiting_.front());
            waiting_.pop_front();
        }
        next();
    }

private:
    std::mutex mutex_;
    int places_;
    std::deque<std::function<void()>> waiting_;
};

}  // namespace snakepit::detail
