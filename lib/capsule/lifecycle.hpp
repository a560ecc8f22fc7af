#pragma once
// When one worker has lived long enough.

#include <snakepit/options.hpp>
#include <snakepit/stats.hpp>

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>

namespace snakepit::detail {

/** Watches the limits of one life, each with a jitter of its own, so that workers do not wear out in step. Tells again
    while a limit is exceeded, at each pong, since a successor may fail.

    @par Thread safety  the strand */
class lifecycle : public std::enable_shared_from_this<lifecycle> {
public:
    using strand = asio::strand<asio::any_io_executor>;

    /// @param baseline  resident bytes of the worker when it was up
    lifecycle(strand on, const lifecycle_options& how, std::uint64_t baseline,
              std::function<void(recycle_reason)> tell);

    /// Until `stop`; to be spawned on the strand.
    static asio::awaitable<void> run(std::shared_ptr<lifecycle> self);
    void stop();
    void pong(std::uint64_t resident_bytes, std::chrono::microseconds latency);
    /// As many calls as `max_calls` have ended.
    void served();
    /// 0: no limit.
    [[nodiscard]] std::uint64_t max_calls() const noexcept { return max_calls_; }

private:
    template <class T>
    T jittered(T limit, double jitter);

    const strand on_;
    const std::function<void(recycle_reason)> tell_;
    const std::uint64_t baseline_;
    std::minstd_rand random_{std::random_device{}()};
    std::chrono::milliseconds max_age_;
    std::uint64_t max_calls_;
    std::uint64_t max_memory_;
    std::uint64_t max_growth_;
    std::chrono::microseconds max_latency_;
    asio::steady_timer age_;
    int slow_in_a_row_ = 0;
    bool is_old_ = false;
    bool has_served_ = false;
    bool stopped_ = false;
};

}  // namespace snakepit::detail
