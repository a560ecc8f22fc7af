#include "session/watch_queue.hpp"

#include "async/cancellation.hpp"

#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <algorithm>
#include <utility>

namespace snakepit::detail {
namespace {

error cancelled_error() { return {errc::cancelled, "no longer waiting for a change"}; }

}  // namespace

void watch_queue::push(const session_event& e) {
    std::unique_lock lock(mutex_);
    if (over_) return;
    if (waiting_.empty()) {
        events_.push_back(e);
        if (events_.size() <= most_) return;
        events_.pop_front();
        ++missed_;
        return;
    }
    const auto who = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    completion<result<item>>::post(std::move(*who), item{e, 0});
}

void watch_queue::end(const error& why) {
    std::unique_lock lock(mutex_);
    if (over_) return;
    over_ = why;
    const auto waiting = std::exchange(waiting_, {});
    lock.unlock();
    for (const auto& who : waiting) completion<result<item>>::post(std::move(*who), tl::unexpected(why));
}

/// Under the mutex. @return  nothing when there is nothing yet
std::optional<result<watch_queue::item>> watch_queue::take() {
    if (!events_.empty()) {
        item first{std::move(events_.front()), std::exchange(missed_, 0)};
        events_.pop_front();
        return first;
    }
    if (over_) return tl::unexpected(*over_);
    return {};
}

asio::awaitable<result<watch_queue::item>> watch_queue::next(std::shared_ptr<watch_queue> self) {
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return tl::unexpected(cancelled_error());
    {
        const std::lock_guard lock(self->mutex_);
        if (auto ready = self->take()) co_return std::move(*ready);
    }
    const auto home = co_await asio::this_coro::executor;
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(result<item>)>(
        [](auto handler, std::shared_ptr<watch_queue> q, const asio::any_io_executor& on) {
            q->wait({std::move(handler), on});
        },
        asio::use_awaitable, std::move(self), home);
}

void watch_queue::wait(completion<result<item>> done) {
    const auto who = std::make_shared<completion<result<item>>>(std::move(done));
    give_up_when_cancelled(who, weak_from_this(), &watch_queue::give_up);
    std::unique_lock lock(mutex_);
    auto ready = take();
    if (!ready) return waiting_.push_back(who);
    lock.unlock();
    completion<result<item>>::post(std::move(*who), std::move(*ready));
}

void watch_queue::give_up(const waiter& who) {
    {
        const std::lock_guard lock(mutex_);
        const auto it = std::find(waiting_.begin(), waiting_.end(), who);
        if (it == waiting_.end()) return;  // it has been answered
        waiting_.erase(it);
    }
    completion<result<item>>::post(std::move(*who), tl::unexpected(cancelled_error()));
}

}  // namespace snakepit::detail
