#pragma once
// The workers that a pool has, and how their number follows the work.

#include "capsule/capsule.hpp"
#include "pool/sizing.hpp"

#include <snakepit/error.hpp>
#include <snakepit/options.hpp>
#include <snakepit/stats.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace snakepit::detail {

/// To be called `count` times, from any thread; the last time calls `done` with the first error, or none.
[[nodiscard]] std::function<void(result<void>)> joined(std::size_t count, std::function<void(result<void>)> done);

/** Hires and dismisses as `size_for` says. It looks at the pool when something has happened: a call has begun to wait,
   a worker has come up, failed or gone; and by a timer only while calls wait or there are more workers than the
   minimum.

    @par Thread safety  the pool's strand, unless a member says otherwise */
class crew : public std::enable_shared_from_this<crew> {
public:
    using clock = std::chrono::steady_clock;
    using strand = asio::strand<asio::any_io_executor>;
    using listener = std::function<void(result<void>)>;

    crew(strand on, std::shared_ptr<const pool_services> services);

    /// The first workers, at least one.
    void hire_first();
    /// @return  when all of these are up, or why one is not, or pool_stopped
    [[nodiscard]] static asio::awaitable<result<void>> wait_until_up(std::shared_ptr<crew> self);
    /// Their number follows the work from now on.
    void open();
    /// @param done  called once on the strand: when there are as many as there should be, or why not
    void resize(worker_count to, listener done);
    /// Replaces one, or all that there are.
    /// @param done  called once, on any thread: when the old ones have ended, or the first reason why one did not
    /// @return  false: it has no such worker
    /// Any thread.
    [[nodiscard]] bool recycle(const std::string& worker, const listener& done);
    void recycle_all(listener done);
    /// @return  false: it has no such worker
    [[nodiscard]] bool ask_for_stacks(const std::string& worker, std::function<void(result<std::string>)> done);
    [[nodiscard]] bool kill(const std::string& worker);
    /// All workers hear which records of Python's logging are wanted.
    void tell_log_level();
    /// Nobody is hired any more; all end by the stop ladder.
    void stop();
    /// The same for who still has time; after `stop`.
    void hasten();
    /// After `stop`, until nothing is left of any worker.
    [[nodiscard]] static asio::awaitable<void> wait_until_gone(std::shared_ptr<crew> self);

    /// Of all that there are. Any thread.
    [[nodiscard]] std::vector<worker_stats> stats() const;
    /// Kills all, without the executor. Any thread.
    void end_now(const error& why) noexcept;

private:
    enum class phase { starting, open, stopping };
    struct member {
        std::size_t number;
        std::shared_ptr<capsule> who;
        bool leaving = false;
        bool ended = false;
        std::optional<error> failure{};  // why it is not up; nothing: it is, or may come to be
        std::optional<clock::time_point> idle_since{};
        std::uint64_t calls = 0;  // that it had ended when it was looked at
    };

    [[nodiscard]] std::vector<std::shared_ptr<capsule>> staff() const;
    void hire(capsule::after_failed_first_start then);
    void dismiss(member& m);
    void heard(std::size_t number, result<void> up);
    void gone(std::size_t number, bool by_exception);
    [[nodiscard]] member* find(std::size_t number);
    void review();
    backlog look_at_calls(clock::time_point now);
    void listen_for_calls(bool may_grow);
    [[nodiscard]] worker_view view_of(member& m, clock::time_point now) const;
    void wake_at(clock::time_point when);
    void tell_who_resized();

    const strand on_;
    const std::shared_ptr<const pool_services> pool_;
    worker_count wanted_;
    phase phase_ = phase::starting;
    asio::steady_timer changed_;  // cancelled when a member has
    asio::steady_timer wake_;
    clock::time_point wake_at_ = clock::time_point::max();
    clock::time_point look_at_ = clock::time_point::max();  // for calls that have waited too long
    bool is_listening_ = false;                             // the switchboard will tell when one waits
    std::optional<error> start_failure_;                    // the first; of no interest later
    std::vector<listener> resizers_;

    mutable std::mutex mutex_;     // for who looks from elsewhere; only the strand changes the members
    std::vector<member> members_;  // by number
    bool ended_ = false;
};

}  // namespace snakepit::detail
