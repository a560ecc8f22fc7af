#include "capsule/heartbeat.hpp"

#include "process/fork_shield.hpp"
#include "process/process_facts.hpp"

#include <algorithm>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <utility>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t ring = 100;
constexpr double newest_weight = 0.125;  // of the moving average, as TCP's smoothed round-trip time has it (RFC 6298)

std::chrono::milliseconds cpu_of(int pid) {
    const auto facts = facts_of(pid);
    return facts ? facts->cpu : 0ms;
}

}  // namespace

heartbeat::heartbeat(strand on, heartbeat_options how, subject of, std::function<void(happening)> tell)
    : on_(std::move(on)), how_(how), of_(std::move(of)), tell_(std::move(tell)), wake_(on_) {}

asio::awaitable<void> heartbeat::run(std::shared_ptr<heartbeat> self) {
    co_await wait_until(self, clock::now() + self->how_.initial_delay);
    while (!self->stopped_) co_await round(self);
}

asio::awaitable<void> heartbeat::round(std::shared_ptr<heartbeat> self) {
    self->tell_(self->of_.load() > 0 ? happening::working : happening::idle);
    const auto cpu_before = cpu_of(self->of_.pid);
    const auto begun = clock::now();
    if (!self->waits()) {  // else the last question stands
        self->sent_at_ = begun;
        self->of_.ping(++self->sequence_);
    }
    const auto expected = begun + self->how_.timeout;
    while (!self->stopped_ && self->waits() && clock::now() < expected) co_await wait_until(self, expected);
    if (self->stopped_) co_return;
    if (!self->waits()) self->is_well();
    else self->judge(expected, cpu_before);

    std::uniform_real_distribution<double> jitter(1 - self->how_.jitter, 1 + self->how_.jitter);
    const auto next = begun + std::chrono::duration_cast<clock::duration>(self->how_.interval * jitter(self->random_));
    while (!self->stopped_ && clock::now() < next) co_await wait_until(self, next);
}

asio::awaitable<void> heartbeat::wait_until(std::shared_ptr<heartbeat> self, clock::time_point when) {
    self->wake_.expires_at(when);
    asio::error_code woken;
    co_await self->wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    if (fork_shield::in_child()) self->stopped_ = true;  // the worker is the parent's
}

/// No pong came in time.
void heartbeat::judge(clock::time_point expected, std::chrono::milliseconds cpu_before) {
    // The timer came late by a good part of what it was set for: this process, or the machine, stood still. Its pong
    // may wait to be read.
    if (clock::now() - expected > how_.timeout / 2) return;
    const auto facts = facts_of(of_.pid);
    if (!facts) return;  // it has ended, and its pidfd says so
    const auto ran = facts->cpu - cpu_before;
    if (of_.in_live_call() && ran * 10 >= how_.timeout) {
        {
            const std::lock_guard lock(mutex_);
            ++seen_.busy;
        }
        return is_well();
    }
    {
        const std::lock_guard lock(mutex_);
        ++seen_.missed;
    }
    overdue_ = true;
    tell_(happening::missed);
    if (was_starved(ran) || facts->is_stopped()) return;
    if (++missed_in_a_row_ >= how_.max_missed) tell_(happening::silent);
}

/// Whether it would have run, but the processors were others'.
/// @param ran  since the ping
bool heartbeat::was_starved(std::chrono::milliseconds ran) {
    const auto need = processor_need_of(of_.pid);
    const auto since = std::exchange(looked_at_, clock::now());
    const auto waited = need.waited - std::exchange(waited_by_then_, need.waited);
    // The kernel counts a thread's waiting when it is over: one that has waited all the time is known by its state.
    if (need.has_runnable && ran < how_.timeout / 2) return true;
    return since != clock::time_point() && waited >= (looked_at_ - since) / 2;
}

void heartbeat::is_well() {
    missed_in_a_row_ = 0;
    if (std::exchange(overdue_, false)) tell_(happening::alive);
}

void heartbeat::pong(const heard::pong& p) {
    if (!waits() || p.sequence != sequence_) return;
    answered_ = sequence_;
    {
        const std::lock_guard lock(mutex_);
        seen_.resident_bytes = p.resident_bytes;
        seen_.gc = p.gc;
    }
    note_latency(std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - sent_at_));
    is_well();
    wake_.cancel();
}

void heartbeat::note_latency(std::chrono::microseconds took) {
    last_latency_ = took;
    const std::lock_guard lock(mutex_);
    const auto before = seen_.latency;
    seen_.latency = before == 0us ? took
                                  : std::chrono::duration_cast<std::chrono::microseconds>(before * (1 - newest_weight) +
                                                                                          took * newest_weight);
    if (latest_.size() < ring) latest_.push_back(took);
    else latest_[answered_ % ring] = took;
}

heartbeat_stats heartbeat::stats() const {
    std::unique_lock lock(mutex_);
    auto s = seen_;
    auto sorted = latest_;
    lock.unlock();
    if (!sorted.empty()) {
        const auto at = sorted.begin() + static_cast<std::ptrdiff_t>((sorted.size() - 1) * 99 / 100);
        std::nth_element(sorted.begin(), at, sorted.end());
        s.latency_p99 = *at;
    }
    return s;
}

void heartbeat::stop() {
    stopped_ = true;
    wake_.cancel();
}

}  // namespace snakepit::detail
