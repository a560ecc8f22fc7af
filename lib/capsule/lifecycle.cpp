#include "capsule/lifecycle.hpp"

#include "process/fork_shield.hpp"

#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

namespace snakepit::detail {

using namespace std::chrono_literals;

constexpr int stays_slow = 8;  // answers in a row: once is a host or a machine that stood still

lifecycle::lifecycle(strand on, const lifecycle_options& how, std::uint64_t baseline,
                     std::function<void(recycle_reason)> tell)
    : on_(std::move(on)),
      tell_(std::move(tell)),
      baseline_(baseline),
      max_age_(jittered(how.max_age, how.jitter)),
      max_calls_(jittered(how.max_calls, how.jitter)),
      max_memory_(how.max_memory_bytes),  // the same for all: their growth differs by itself
      max_growth_(jittered(how.max_memory_growth_bytes, how.jitter)),
      max_latency_(how.max_latency),
      age_(on_) {}

/// Shorter by up to the part given, so that the limit stays one; 0 stays 0.
template <class T>
T lifecycle::jittered(T limit, double jitter) {
    if (limit == T{}) return limit;
    std::uniform_real_distribution<double> part(1 - jitter, 1);
    if constexpr (std::is_integral_v<T>)
        return std::max<T>(1, static_cast<T>(static_cast<double>(limit) * part(random_)));
    else return std::chrono::duration_cast<T>(limit * part(random_));
}

asio::awaitable<void> lifecycle::run(std::shared_ptr<lifecycle> self) {
    if (self->max_age_ == 0ms) co_return;
    self->age_.expires_after(self->max_age_);
    asio::error_code woken;
    co_await self->age_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    if (self->stopped_ || fork_shield::in_child()) co_return;
    self->is_old_ = true;
    self->tell_(recycle_reason::age);
}

void lifecycle::stop() {
    stopped_ = true;
    age_.cancel();
}

void lifecycle::served() {
    has_served_ = true;
    tell_(recycle_reason::calls);
}

void lifecycle::pong(std::uint64_t resident_bytes, std::chrono::microseconds latency) {
    slow_in_a_row_ = max_latency_ != 0us && latency > max_latency_ ? slow_in_a_row_ + 1 : 0;
    if (is_old_) tell_(recycle_reason::age);
    else if (has_served_) tell_(recycle_reason::calls);
    else if (max_memory_ != 0 && resident_bytes > max_memory_) tell_(recycle_reason::memory);
    else if (max_growth_ != 0 && resident_bytes > baseline_ + max_growth_) tell_(recycle_reason::memory_growth);
    else if (slow_in_a_row_ >= stays_slow) tell_(recycle_reason::latency);
}

}  // namespace snakepit::detail
