#pragma once
// From where things happen to whoever wants to know.

#include "telemetry/events.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace snakepit::detail {

/** Calls every subscriber for each event, there and then: on the strand of the worker that it is about, or of the pool.
    So a subscriber hears what one worker does in its order, one call at a time, and must not block. What it throws is
    lost. With no subscriber an event is not even made.

    @par Thread safety  every member from any thread, also from within a subscriber */
class event_bus {
    struct entry;
    struct list {
        std::mutex mutex;
        std::vector<std::shared_ptr<entry>> entries;
        std::atomic<std::size_t> count = 0;  // of them, without the mutex
    };

public:
    using subscriber = std::function<void(const event&)>;

    /// Ends with its life: then the subscriber is not called any more. It may end within such a call, and may outlive
    /// the bus.
    class subscription {
    public:
        subscription() = default;
        subscription(subscription&& other) noexcept { *this = std::move(other); }
        subscription& operator=(subscription&& other) noexcept {
            std::swap(from_, other.from_);
            std::swap(entry_, other.entry_);
            return *this;
        }
        ~subscription();

    private:
        friend class event_bus;
        std::weak_ptr<list> from_;
        std::shared_ptr<entry> entry_;
    };

    [[nodiscard]] subscription subscribe(subscriber s);

    /// @param make  makes the `happened::what`, if somebody wants to know
    template <class Make>
    void publish(Make make) const {
        if (list_->count.load(std::memory_order_acquire) != 0) tell({std::chrono::system_clock::now(), make()});
    }

private:
    void tell(const event& e) const;

    const std::shared_ptr<list> list_ = std::make_shared<list>();
};

}  // namespace snakepit::detail
