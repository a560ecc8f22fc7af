#pragma once
// Events for one coroutine, from many sources, in the order in which they came.

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>

namespace snakepit::detail {

/** @par Thread safety  use it on its strand; one coroutine reads */
template <class Event>
class mailbox {
public:
    using time_point = std::chrono::steady_clock::time_point;

    explicit mailbox(asio::strand<asio::any_io_executor> on) : wake_(std::move(on)) {}

    void push(Event e) {
        events_.push_back(std::move(e));
        wake_.cancel();
    }

    /// The next event, or nothing when `until` is over.
    static asio::awaitable<std::optional<Event>> next(std::shared_ptr<mailbox> self, time_point until) {
        while (self->events_.empty()) {
            if (until <= std::chrono::steady_clock::now()) co_return std::nullopt;
            self->wake_.expires_at(until);
            asio::error_code woken;
            co_await self->wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        }
        Event first = std::move(self->events_.front());
        self->events_.pop_front();
        co_return first;
    }

private:
    asio::steady_timer wake_;
    std::deque<Event> events_;
};

}  // namespace snakepit::detail
