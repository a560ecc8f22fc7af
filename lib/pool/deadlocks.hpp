#pragma once
// Host tools that call the pool they work for, and wait for each other in a circle.

#include "pool/call.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace snakepit::detail {

class switchboard;

/** The calls that host tools have made on their own pool, at whichever of its switchboards, and the end of those that
   would wait for ever.

    A board stands still when in each of its workers all that runs waits for such a call. What it runs goes on once one
    of these ends at a board that does not stand still. Where none is, none of those that have not begun ever will.

    @par Thread safety  every member from any thread */
class deadlock_watch {
public:
    /// All boards of the pool, before the first call.
    void add(const std::shared_ptr<switchboard>& board);
    /// Under the mutex of its board.
    void began(call& c, switchboard& at);
    /// Likewise; nothing for a call that was not let in.
    void ended(const call& c);
    [[nodiscard]] bool has_calls() const noexcept { return count_.load(std::memory_order_relaxed) != 0; }
    /// Ends the newest call of those that would wait for ever, which closed the circle, until there is none. Without
    /// any mutex.
    void look();

private:
    struct nested_call {
        call* what;
        switchboard* at;
    };
    using boards = std::vector<std::shared_ptr<switchboard>>;

    [[nodiscard]] std::optional<nested_call> find_victim(const boards& all) const;

    std::atomic<std::size_t> count_ = 0;
    mutable std::mutex mutex_;  // taken after those of the boards
    std::vector<std::weak_ptr<switchboard>> boards_;
    std::vector<nested_call> calls_;  // that have not ended, by age
};

}  // namespace snakepit::detail
