#include "async/cancellation.hpp"
#include "telemetry/event_bus.hpp"

#include <snakepit/detail/completion.hpp>

#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>

namespace snakepit {
namespace detail {

/// Between whoever publishes and the one coroutine that reads.
class event_queue : public std::enable_shared_from_this<event_queue> {
public:
    using item = std::optional<event>;

    explicit event_queue(std::size_t capacity) : capacity_(capacity) {}

    void take(const event& e) {
        std::unique_lock lock(mutex_);
        if (!waiting_) {
            if (events_.size() < capacity_) events_.push_back(e);
            else dropped_.fetch_add(1, std::memory_order_relaxed);
            return;
        }
        const auto who = std::exchange(waiting_, nullptr);
        lock.unlock();
        completion<item>::post(std::move(*who), e);
    }
    void close() {
        std::unique_lock lock(mutex_);
        closed_ = true;
        const auto who = std::exchange(waiting_, nullptr);
        lock.unlock();
        if (who) completion<item>::post(std::move(*who), std::nullopt);
    }
    [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

    static asio::awaitable<item> next(std::shared_ptr<event_queue> self) {
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) co_return std::nullopt;
        {
            const std::lock_guard lock(self->mutex_);
            if (auto ready = self->ready()) co_return std::move(*ready);
        }
        const auto home = co_await asio::this_coro::executor;
        co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(item)>(
            [](auto handler, std::shared_ptr<event_queue> q, const asio::any_io_executor& on) {
                q->wait({std::move(handler), on});
            },
            asio::use_awaitable, std::move(self), home);
    }

    event_subscription subscription;

private:
    using waiter = std::shared_ptr<completion<item>>;

    /// Under the mutex. @return  what can be said at once; nothing: not yet
    std::optional<item> ready() {
        if (!events_.empty()) {
            item first(std::move(events_.front()));
            events_.pop_front();
            return first;
        }
        if (closed_) return item();
        return std::nullopt;
    }

    void wait(completion<item> done) {
        const auto who = std::make_shared<completion<item>>(std::move(done));
        give_up_when_cancelled(who, weak_from_this(), &event_queue::give_up);
        std::unique_lock lock(mutex_);
        auto at_once = ready();
        if (!at_once) return void(waiting_ = who);
        lock.unlock();
        completion<item>::post(std::move(*who), std::move(*at_once));
    }

    void give_up(const waiter& who) {
        {
            const std::lock_guard lock(mutex_);
            if (waiting_ != who) return;  // it has been answered
            waiting_ = nullptr;
        }
        completion<item>::post(std::move(*who), std::nullopt);
    }

    const std::size_t capacity_;
    std::mutex mutex_;
    std::deque<event> events_;
    waiter waiting_;  // null while there are events
    bool closed_ = false;
    std::atomic<std::uint64_t> dropped_ = 0;
};

}  // namespace detail

event_reader::event_reader(std::shared_ptr<detail::event_queue> q) : queue_(std::move(q)) {}
event_reader::event_reader(event_reader&&) noexcept = default;
event_reader& event_reader::operator=(event_reader&&) noexcept = default;
event_reader::~event_reader() = default;

asio::awaitable<std::optional<event>> event_reader::next() { return detail::event_queue::next(queue_); }
std::uint64_t event_reader::dropped() const noexcept { return queue_->dropped(); }

event_subscription event_source::subscribe(event_filter filter, std::function<void(const event&)> tell) const {
    return bus_->subscribe(std::move(filter), std::move(tell));
}

event_reader event_source::read(event_filter filter, std::size_t capacity) const {
    constexpr std::size_t most = 1'000'000;
    const auto queue = std::make_shared<detail::event_queue>(std::clamp<std::size_t>(capacity, 1, most));
    const std::weak_ptr<detail::event_queue> weak = queue;
    queue->subscription = bus_->subscribe(
        std::move(filter),
        [weak](const event& e) {
            if (const auto q = weak.lock()) q->take(e);
        },
        [weak] {
            if (const auto q = weak.lock()) q->close();
        });
    return event_reader(queue);
}

}  // namespace snakepit
