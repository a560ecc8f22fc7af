#include "wire/control_stream.hpp"

#include "wire/telemetry_in.hpp"

#include <algorithm>
#include <chrono>

namespace snakepit::detail {
namespace {

constexpr std::size_t longest_by = std::size_t{1} << 10;
constexpr std::size_t longest_stack = std::size_t{16} << 10;
constexpr std::size_t longest_stacks = std::size_t{64} << 10;

/// What a worker says may be anything.
std::chrono::microseconds duration_of(std::uint64_t us) {
    constexpr std::uint64_t longest_us = 1'000'000ull * 3600 * 24 * 365 * 100;
    return std::chrono::microseconds(std::min(us, longest_us));
}

/// See Pong.gc in control.proto.
std::optional<std::array<gc_stats, 3>> gc_of(const v1::Pong& p) {
    std::array<gc_stats, 3> made;
    if (p.gc_size() != 3 * static_cast<int>(made.size())) return std::nullopt;
    for (int i = 0; auto& generation : made) {
        generation = {p.gc(i), p.gc(i + 1), p.gc(i + 2)};
        i += 3;
    }
    return made;
}

}  // namespace

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
        const auto& p = in.pong();
        to_->tell_(heard::pong{p.sequence(), p.resident_bytes(), p.begun_id(), duration_of(p.running_us()), gc_of(p)});
        return true;
    }
    if (in.has_loop_blocked() && hello_seen_) {
        auto& b = *in.mutable_loop_blocked();
        if (b.by().size() <= longest_by && b.stack().size() <= longest_stack) {
            to_->tell_(heard::loop_blocked{duration_of(b.blocked_us()), std::move(*b.mutable_by()),
                                           std::move(*b.mutable_stack())});
            return true;
        }
    }
    if (hello_seen_ && take_telemetry(in)) return true;
    to_->report_broken("it broke the protocol: a message on Control that is not expected there", true);
    return false;
}

/// @return  false: it is something else, or breaks a limit
bool control_stream::take_telemetry(v1::ControlUp& in) {
    if (in.has_telemetry()) {
        auto t = checked(*in.mutable_telemetry());
        if (t) to_->tell_(std::move(*t));
        return t.has_value();
    }
    if (in.has_slow_call()) {
        auto& s = *in.mutable_slow_call();
        if (s.stack().size() > longest_stack || s.tool().size() > longest_by || s.trace_id().size() > longest_by)
            return false;
        to_->tell_(heard::slow_call{s.id(), duration_of(s.running_us()), std::move(*s.mutable_tool()),
                                    std::move(*s.mutable_trace_id()), std::move(*s.mutable_stack())});
        return true;
    }
    if (in.has_stacks() && in.stacks().text().size() <= longest_stacks) {
        to_->tell_(heard::stacks{in.stacks().number(), std::move(*in.mutable_stacks()->mutable_text())});
        return true;
    }
    return false;
}

void control_stream::ended() {
    to_->report_broken("its control stream ended");
    to_->tell_(heard::control_ended{});
}

}  // namespace snakepit::detail
