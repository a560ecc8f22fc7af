#pragma once
// All that the host keeps for one worker, and the loop that keeps the worker alive.

#include "capsule/backoff.hpp"
#include "capsule/life.hpp"
#include "capsule/mailbox.hpp"
#include "capsule/restart_budget.hpp"
#include "capsule/worker_machine.hpp"

#include <snakepit/error.hpp>
#include <snakepit/stats.hpp>

#include <asio/awaitable.hpp>
#include <asio/strand.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace snakepit::detail {

/** Obeys its worker's state machine: starts lives, publishes them to the switchboard, and starts others when they end.
    Nobody else is disturbed by any of it.

    @par Thread safety  the `request_` members, `end_now`, `look` and `stats` from any thread */
class capsule : public std::enable_shared_from_this<capsule> {
public:
    enum class after_failed_first_start { end, try_again };
    /// @param tell  told on the capsule's strand when it comes up, when a start fails, and when it goes out of service
    capsule(std::string id, std::shared_ptr<const pool_services> pool, after_failed_first_start then,
            std::function<void(result<void>)> tell);

    [[nodiscard]] const asio::strand<asio::any_io_executor>& on() const noexcept { return on_; }
    /// To be spawned on the strand. Ends after `request_stop` or `request_retirement`, or when the first start fails.
    static asio::awaitable<void> run(std::shared_ptr<capsule> self);
    /// Drain, then the ladder; asked again, no more draining.
    void request_stop();
    /// No new calls; it ends when it has finished what it holds. `request_stop` hastens that.
    void request_retirement();
    /// A new worker takes over when it is up, then the old one drains and ends. Joins a replacement that is under way;
    /// a worker that is being started is new anyway.
    /// @param done  called once, on any thread: when the old one has ended, or why there is no new one
    void request_recycling(recycle_reason why, std::function<void(result<void>)> done);
    /// @param done  called once, on any thread
    void request_stacks(std::function<void(result<std::string>)> done);
    /// Kills its process, as a crash would.
    void request_kill();
    void request_log_level();
    [[nodiscard]] const std::string& id() const noexcept { return id_; }
    /// Kills the worker and fails its calls, without the executor.
    void end_now(const error& why) noexcept;
    [[nodiscard]] worker_stats stats() const;
    /// The little of `stats` that the size of the pool depends on.
    struct glance {
        worker_state state{};
        std::size_t load = 0;
        std::uint64_t calls = 0;  ///< that it has ended
    };
    [[nodiscard]] glance look() const;

private:
    using clock = std::chrono::steady_clock;
    struct asked_to_stop {};
    struct asked_to_retire {};
    struct asked_to_recycle {
        recycle_reason why{};
        std::function<void(result<void>)> done;
    };
    struct may_recycle {};
    struct something_changed {};  ///< a life has told
    using mail = std::variant<asked_to_stop, asked_to_retire, asked_to_recycle, may_recycle, something_changed>;

    void take(const life::news& n);
    void ask_for_turn(recycle_reason why);
    void take_turn();
    void end_turn(const result<void>& how);
    void bury(const life::news& n);
    void happens(happening what);
    [[nodiscard]] happened::worker_moved describe(worker_state from, happening what) const;
    void show();
    void obey(action what);
    void publish(const std::shared_ptr<life>& it);
    void hand_over();
    void carry_on();
    void promote();
    void retire();
    void finish();
    [[nodiscard]] result<void> unless_impossible() const;
    void back_off();
    void break_down();
    void end_all();
    [[nodiscard]] std::shared_ptr<life> begin_life();

    const std::string id_;
    const asio::strand<asio::any_io_executor> on_;
    const std::shared_ptr<const pool_services> pool_;
    const std::shared_ptr<mailbox<mail>> mail_;
    const std::function<void(result<void>)> tell_;
    bool must_start_;                      // else it ends
    std::optional<result<void>> tidings_;  // to be told when the new state is there to be seen
    worker_machine machine_;
    backoff backoff_;
    restart_budget budget_;
    clock::time_point wake_at_ = clock::time_point::max();  // then it is due
    error last_end_{errc::pool_stopped, "the pool is stopping"};
    restart_reason last_reason_{};
    clock::duration last_age_{};
    bool up_ = false;  // the current life has been
    bool stop_asked_ = false;
    bool retired_ = false;
    bool finished_ = false;
    std::shared_ptr<life> current_;
    std::shared_ptr<life> successor_;
    std::shared_ptr<life> dying_;  // it was current; why it ended is being found out

    // A replacement, from the time it was asked for.
    enum class turn { none, waiting, taken };
    turn turn_ = turn::none;
    recycle_reason turn_reason_{};
    std::shared_ptr<life> retiring_;  // it has handed over, and drains
    std::vector<std::function<void(result<void>)>> turn_waiters_;
    std::vector<std::function<void(result<void>)>> next_waiters_;  // who came when it was under way

    mutable std::mutex mutex_;
    worker_stats stats_;
    std::shared_ptr<life> shown_;               // as current_
    std::vector<std::shared_ptr<life>> lives_;  // all of which something is left
    std::uint64_t calls_ = 0;                   // that those have ended of which nothing is
    bool ended_ = false;
};

}  // namespace snakepit::detail
