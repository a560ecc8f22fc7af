#pragma once
// The last things that have happened in a pool, for an operator who comes later.

#include "telemetry/event_bus.hpp"

#include <snakepit/events.hpp>

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

namespace snakepit::detail {

/** Keeps the last 256 events of the kinds that come seldom.

    @par Thread safety  every member from any thread */
class recent_events {
public:
    static constexpr std::size_t most = 256;

    explicit recent_events(event_bus& from);

    /// Whether events of this kind are kept: not those that come with each call, beat, line or log record.
    [[nodiscard]] static bool keeps(std::string_view name) noexcept;
    [[nodiscard]] std::vector<event> matching(const event_filter& wanted) const;

private:
    void take(const event& e);

    mutable std::mutex mutex_;
    std::deque<event> events_;
    event_subscription subscription_;  // the last one: it refers to what is above
};

}  // namespace snakepit::detail
