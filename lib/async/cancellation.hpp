#pragma once
// What a caller's cancellation means to an operation that waits for something of ours.

#include <asio/cancellation_type.hpp>

#include <memory>
#include <utility>

namespace snakepit::detail {

/// Whether a caller's cancellation of this type ends what it asked for.
[[nodiscard]] constexpr bool asks_to_stop(asio::cancellation_type type) noexcept {
    return (type & (asio::cancellation_type::terminal | asio::cancellation_type::partial)) !=
           asio::cancellation_type::none;
}

/** The completion that waits in this queue leaves it when its caller cancels: `give_up(who)` is called then, on the
    canceller's thread. To be called before the completion is in the queue: whoever resumes it clears its slot, which is
   no thread-safe matter. */
template <class Queue, class Completion>
void give_up_when_cancelled(const std::shared_ptr<Completion>& who, std::weak_ptr<Queue> queue,
                            void (Queue::*give_up)(const std::shared_ptr<Completion>&)) {
    auto slot = who->slot();
    if (!slot.is_connected()) return;
    slot.assign([queue = std::move(queue), weak = std::weak_ptr(who), give_up](asio::cancellation_type type) {
        if (!asks_to_stop(type)) return;
        const auto from = queue.lock();
        const auto live = weak.lock();
        if (from && live) (from.get()->*give_up)(live);
    });
}

}  // namespace snakepit::detail
