#pragma once
// Who watches one session.

#include <snakepit/session_backend.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace snakepit::detail {

/** Events are queued where their order is known, under the store's mutex, and told where no mutex is held: by whoever
    comes first, one after the other. Held by shared pointers.

    @par Thread safety  every member from any thread, also from within a watcher */
class watch_group : public std::enable_shared_from_this<watch_group> {
public:
    using teller = std::function<void(const session_event&)>;

    /// @param tell  hears what is queued from now on. What it throws is lost
    /// @return  ends with its life: `tell` is not called any more
    [[nodiscard]] std::shared_ptr<void> add(teller tell);
    [[nodiscard]] bool empty() const;
    void queue(session_event e);
    /// Returns when all is told that was queued, or another thread is at it.
    void tell();

private:
    struct watcher;
    struct subscription;
    using watchers = std::vector<std::shared_ptr<watcher>>;
    struct news {
        session_event event;
        std::shared_ptr<const watchers> to;
    };

    mutable std::mutex mutex_;
    std::shared_ptr<const watchers> watchers_ = std::make_shared<watchers>();  // replaced, never changed
    std::deque<news> untold_;
    bool telling_ = false;
};

}  // namespace snakepit::detail
