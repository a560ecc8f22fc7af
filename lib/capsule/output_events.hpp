#pragma once
// Tells of the lines that a worker writes, as far as they do not come too fast.

#include "process/allowance.hpp"
#include "process/output_line.hpp"
#include "telemetry/event_bus.hpp"
#include "telemetry/line_redactor.hpp"
#include "value/utf8.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace snakepit::detail {

/// Of one stream of one incarnation. Not thread-safe.
class output_events {
public:
    output_events(std::shared_ptr<event_bus> events, std::shared_ptr<const redactor> redact_with, std::string worker,
                  std::uint64_t incarnation, std::string stream)
        : events_(std::move(events)),
          worker_(std::move(worker)),
          incarnation_(incarnation),
          stream_(std::move(stream)),
          redactor_(std::move(redact_with)) {}

    void take(const output_line& line) {
        const bool is_wanted = events_->wants<happened::worker_wrote>();
        if (is_wanted && allowance_.take(line.text.size() + 1)) {
            auto shown = redactor_.show(valid_utf8(std::string(line.text)), line.goes_on);
            events_->publish([&] {
                return happened::worker_wrote{worker_,
                                              incarnation_,
                                              stream_,
                                              std::move(shown),
                                              line.call,
                                              std::string(line.tool),
                                              std::string(line.trace_id)};
            });
        } else {
            redactor_.pass_over(line.text);
            if (is_wanted) ++dropped_;
        }
        if (dropped_ != 0 && clock::now() >= told_at_ + std::chrono::seconds(1)) tell_of_dropped();
    }
    void tell_of_dropped() {
        if (dropped_ == 0) return;
        told_at_ = clock::now();
        const auto lines = std::exchange(dropped_, 0);
        events_->publish([&] { return happened::output_dropped{worker_, incarnation_, stream_, lines}; });
    }

private:
    using clock = std::chrono::steady_clock;

    const std::shared_ptr<event_bus> events_;
    const std::string worker_;
    const std::uint64_t incarnation_;
    const std::string stream_;
    line_redactor redactor_;
    allowance allowance_;
    std::uint64_t dropped_ = 0;
    clock::time_point told_at_;
};

}  // namespace snakepit::detail
