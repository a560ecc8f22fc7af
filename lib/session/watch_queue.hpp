#pragma once
// From where a session changes to who awaits its changes.

#include <snakepit/detail/completion.hpp>
#include <snakepit/error.hpp>
#include <snakepit/session_backend.hpp>

#include <asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

namespace snakepit::detail {

/// Held by shared pointers. @par Thread safety  every member from any thread
class watch_queue : public std::enable_shared_from_this<watch_queue> {
public:
    struct item {
        session_event event{};
        std::uint64_t missed = 0;
    };

    /// @param most  events that wait; with more the oldest are dropped
    explicit watch_queue(std::size_t most) : most_(most) {}

    /// Does not block, and resumes nobody before it returns.
    void push(const session_event& e);
    /// The last word, behind what was pushed. The first one counts.
    void end(const error& why);

    /// @return  the next event, or the last word; cancelled
    [[nodiscard]] static asio::awaitable<result<item>> next(std::shared_ptr<watch_queue> self);

private:
    using waiter = std::shared_ptr<completion<result<item>>>;

    [[nodiscard]] std::optional<result<item>> take();
    void wait(completion<result<item>> done);
    void give_up(const waiter& who);

    const std::size_t most_;
    std::mutex mutex_;
    std::deque<session_event> events_;
    std::uint64_t missed_ = 0;  // before the first of them
    std::optional<error> over_;
    std::deque<waiter> waiting_;  // none while there are events
};

}  // namespace snakepit::detail
