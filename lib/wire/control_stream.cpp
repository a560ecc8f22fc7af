#include "wire/control_stream.hpp"

#include <algorithm>
#include <chrono>

namespace snakepit::detail {

void control_stream::send(v1::ControlDown message) {
    {
        const std::lock_guard lock(queue_mutex_);
        queue_.push_back(std::move(message));
        if (writing_) return;
        writing_ = true;
        out_ = std::move(queue_.front());
        queue_.pop_front();
    }
    write(&out_);
}

void control_stream::written(bool ok) {
    {
        const std::lock_guard lock(queue_mutex_);
        if (!ok || queue_.empty()) {
            writing_ = false;
            return;
        }
        out_ = std::move(queue_.front());
        queue_.pop_front();
    }
    write(&out_);
}

bool control_stream::message(v1::ControlUp& in) {
    if (in.has_hello() && !std::exchange(hello_seen_, true)) {
        to_->tell_(heard::hello{checked(in.hello())});
        return true;
    }
    if (in.has_pong() && hello_seen_) {
        constexpr std::uint64_t longest_us =
            1'000'000ull * 3600 * 24 * 365 * 100;  // what a worker says may be anything
        const auto& p = in.pong();
        to_->tell_(heard::pong{p.sequence(), p.resident_bytes(), p.begun_id(),
                               std::chrono::microseconds(std::min<std::uint64_t>(p.running_us(), longest_us))});
        return true;
    }
    to_->report_broken("it broke the protocol: a message on Control that is not expected there", true);
    return false;
}

void control_stream::ended() { to_->report_broken("its control stream ended"); }

}  // namespace snakepit::detail
