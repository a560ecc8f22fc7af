#pragma once
// Turns what happens into records for people.

#include "process/stderr_copy.hpp"
#include "telemetry/event_bus.hpp"
#include "telemetry/redactor.hpp"

#include <snakepit/log.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

namespace snakepit::detail {

/** Hears of the events that its level wants, so that others are not even made, and gives them to the sink one by one.

    Of each kind of event at most `burst` at once and `per_second` after that; how many were left out is said with the
    next one. What workers print and log has limits of its own.

    @par Thread safety  every member from any thread; a sink may call back, except `set_level` */
class logger {
public:
    static constexpr double burst = 100;
    static constexpr double per_second = 20;

    /// @param redact_with  of messages and fields
    logger(log_options how, std::shared_ptr<event_bus> events, std::shared_ptr<const redactor> redact_with);

    void set_level(log_level least);
    [[nodiscard]] log_level level() const;

    /// The least level at which an event is logged; log_level::off: it never is.
    [[nodiscard]] static log_level level_of(const happened::any& what);

private:
    using clock = std::chrono::steady_clock;
    struct allowance {
        double left = burst;
        clock::time_point at = clock::now();
        std::uint64_t left_out = 0;
    };

    void take(const event& e);
    void write(const log_record& r);
    [[nodiscard]] bool is_allowed(const event& e, std::uint64_t& left_out);

    const log_sink sink_;
    const std::shared_ptr<event_bus> events_;
    const std::shared_ptr<const redactor> redactor_;
    std::mutex change_mutex_;  // of the level
    mutable std::mutex mutex_;
    log_level level_ = log_level::off;
    std::array<allowance, event_filter::kinds> allowances_;
    stderr_copy stderr_{""};
    event_subscription heard_;  // the last: it refers to what is above
};

}  // namespace snakepit::detail
