#pragma once
// Whether a worker is alive, told from its pongs and from what the kernel says about it.

#include "capsule/worker_machine.hpp"
#include "wire/attachment.hpp"

#include <snakepit/options.hpp>
#include <snakepit/stats.hpp>

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

namespace snakepit::detail {

/** Pings one worker, one question at a time, and judges its silence: busy is not dead. A worker that burns CPU in a
   call whose caller still waits is busy; one that is stopped (SIGSTOP), or that others keep from the processors, gets
   no calls, and is not ended for it; nor is any when it was this process that did not run.

    @par Thread safety  the strand, and `stats` from any thread */
class heartbeat : public std::enable_shared_from_this<heartbeat> {
public:
    using clock = std::chrono::steady_clock;
    using strand = asio::strand<asio::any_io_executor>;

    struct subject {
        int pid = 0;
        std::function<void(std::uint64_t sequence)> ping;
        std::function<bool()> in_live_call;  ///< it runs a call whose caller waits
        std::function<std::size_t()> load;
    };

    /// @param tell  hears `missed`, `alive`, `silent`, `working` and `idle`
    heartbeat(strand on, heartbeat_options how, subject of, std::function<void(happening)> tell);

    /// Until `stop`; to be spawned on the strand.
    static asio::awaitable<void> run(std::shared_ptr<heartbeat> self);
    void pong(const heard::pong& p);
    void stop();
    [[nodiscard]] heartbeat_stats stats() const;
    /// From the last ping that was answered to its pong.
    [[nodiscard]] std::chrono::microseconds last_latency() const { return last_latency_; }

private:
    static asio::awaitable<void> round(std::shared_ptr<heartbeat> self);
    static asio::awaitable<void> wait_until(std::shared_ptr<heartbeat> self, clock::time_point when);
    [[nodiscard]] bool waits() const { return answered_ != sequence_; }
    void judge(clock::time_point expected, std::chrono::milliseconds cpu_before);
    [[nodiscard]] bool was_starved(std::chrono::milliseconds ran);
    void is_well();
    void note_latency(std::chrono::microseconds took);

    const strand on_;
    const heartbeat_options how_;
    const subject of_;
    const std::function<void(happening)> tell_;
    asio::steady_timer wake_;
    std::minstd_rand random_{std::random_device{}()};
    std::uint64_t sequence_ = 0;
    std::uint64_t answered_ = 0;
    clock::time_point sent_at_;
    std::chrono::microseconds last_latency_{};
    bool overdue_ = false;
    int missed_in_a_row_ = 0;
    clock::time_point looked_at_;                // at the last pong that did not come
    std::chrono::nanoseconds waited_by_then_{};  // for a processor
    bool stopped_ = false;

    mutable std::mutex mutex_;
    heartbeat_stats seen_;
    std::vector<std::chrono::microseconds> latest_;  // a ring of the last hundred
};

}  // namespace snakepit::detail
