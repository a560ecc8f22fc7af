#pragma once
// One life of a worker, from its start to its end.

#include "capsule/heartbeat.hpp"
#include "capsule/incarnation.hpp"
#include "capsule/lifecycle.hpp"
#include "capsule/slow_watch.hpp"
#include "process/memory_kills.hpp"

#include <snakepit/error.hpp>

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace snakepit::detail {

/** Starts a process, waits until it can take calls, watches over it, and ends it: at its own end, when it is told to,
   or when it cannot be kept.

    @par Thread safety  the capsule's strand, unless a member says otherwise */
class life : public std::enable_shared_from_this<life> {
public:
    using clock = std::chrono::steady_clock;

    struct news {
        std::shared_ptr<life> of;
        /// `up`, then what its heartbeat and its limits say, `lost` in the turn in which its end is known unless it was
        /// told to end, and at last `gone`: nothing is left of it.
        happening what;
        std::optional<error> why{};  ///< it is gone
        recycle_reason limit{};      ///< it is worn
    };

    /// @param tell  called on the strand
    life(asio::strand<asio::any_io_executor> on, std::shared_ptr<const pool_services> pool, std::string worker,
         std::uint64_t number, std::function<void(const news&)> tell);

    /// The whole of it; to be spawned on the strand.
    static asio::awaitable<void> run(std::shared_ptr<life> self);
    /// Calls may go to it, from now on or again.
    void publish();
    /// No new calls; what it was not sent goes elsewhere.
    void withhold();
    /// No new calls; it ends when it has finished what it holds, however long that takes, watched over as before.
    void retire();
    /// Drain, then the ladder.
    /// @param why  for calls that take too long
    void end(const error& why);
    /// Calls that it drains have had time enough.
    void hasten();
    /// It is not trusted any more: its stack is dumped, then it is killed.
    /// @param others_may_finish  the calls beside the one that it does not end
    void give_up_on(restart_reason reason, std::string why, bool others_may_finish = false);
    /// The Python stacks of its threads; also of a worker that does not answer, then those of faulthandler.
    /// @param done  called once on the strand; worker_lost when it ends before
    void ask_for_stacks(std::function<void(result<std::string>)> done);
    /// Kills the process; how it ends is found out as for any death.
    void kill();
    /// Tells the worker which records of Python's logging are wanted.
    void tell_log_level();
    /// Kills it and fails its calls, without the executor. Any thread.
    void end_now(const error& why) noexcept;

    /// 0 before there is a process. Any thread.
    [[nodiscard]] int pid() const;
    /// Calls that it holds. Any thread.
    [[nodiscard]] std::size_t load() const;
    /// How many calls it would be given now, and why.
    [[nodiscard]] pace pace_of_calls() const;
    /// Calls that it has ended. Any thread.
    [[nodiscard]] std::uint64_t ended_calls() const;
    /// The call that it is at. Any thread.
    struct activity {
        std::string tool;           ///< empty: none
        clock::duration running{};  ///< 0: not for longer than since the last pong
    };
    [[nodiscard]] activity doing() const;
    /// "direct" or "iterator", once it is up.
    [[nodiscard]] const std::string& lane() const noexcept { return lane_; }
    /// Any thread.
    [[nodiscard]] heartbeat_stats pulse() const;
    /// How often its event loop has not turned in time. Any thread.
    [[nodiscard]] std::uint64_t times_blocked() const;
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
    /// It was told to end before it did so by itself.
    [[nodiscard]] bool ended_as_told() const noexcept { return as_told_; }
    /// Why another one has to take its place, once it has ended otherwise than as told.
    [[nodiscard]] restart_reason reason() const noexcept { return reason_; }
    [[nodiscard]] clock::duration age() const { return clock::now() - born_; }
    /// How the process ended, once it has.
    [[nodiscard]] const std::string& exit() const noexcept { return exit_; }

private:
    struct departure {
        bool exited = false;
        bool told = false;               // the launcher has said how, or that it never will
        bool work_ended = false;         // and all that it had sent there has come
        bool control_ended = false;      // likewise
        std::optional<int> wait_status;  // what the launcher said
        std::optional<value> report;     // why it cannot start, in its own words
        clock::time_point exited_at;
        void hear(const life_event& e);
    };

    static asio::awaitable<error> live(std::shared_ptr<life> self);
    static asio::awaitable<result<void>> boot(std::shared_ptr<life> self, departure& gone);
    [[nodiscard]] result<void> fits(std::uint64_t fresh_bytes) const;
    void watch_pulse();
    void watch_limits(std::uint64_t fresh_bytes);
    void watch_slow_calls();
    static asio::awaitable<void> watch_grace(std::shared_ptr<life> self);
    static asio::awaitable<error> serve(std::shared_ptr<life> self, departure& gone, std::uint64_t fresh_bytes);
    static asio::awaitable<void> let_others_finish(std::shared_ptr<life> self, departure& gone);
    [[nodiscard]] bool runs_several() const;
    static asio::awaitable<bool> stop_ladder(std::shared_ptr<life> self, departure& gone);
    static asio::awaitable<void> bury(std::shared_ptr<life> self, departure& gone);
    static asio::awaitable<bool> wait_gone(std::shared_ptr<life> self, clock::duration limit, departure& gone);
    [[nodiscard]] std::shared_ptr<line> carried() const;
    [[nodiscard]] occupation occupied_by() const;
    static asio::awaitable<void> wait_until_all_came(std::shared_ptr<life> self, departure& gone);
    [[nodiscard]] worker_exit exit_so_far(const departure& gone) const;
    [[nodiscard]] error boot_failure(const departure& gone, const std::optional<heard::broken>& broken) const;
    void abandon(const error& why);
    void leave_if_idle();
    void hear(departure& gone, life_event& e);
    void note_progress(const heard::pong& p);
    void note_blocked(const heard::loop_blocked& b);
    void note_telemetry(heard::telemetry& t);
    void note_slow(heard::slow_call& s);
    void dump_stack();
    void note_stacks(std::uint64_t number, result<std::string> text);
    static asio::awaitable<void> dump_stacks(std::shared_ptr<life> self, std::uint64_t number);
    void let_go();
    void dump_last_stack();
    [[nodiscard]] std::vector<slow_watch::at_work> runs() const;

    const asio::strand<asio::any_io_executor> on_;
    const std::shared_ptr<const pool_services> pool_;
    const std::string worker_;
    const std::uint64_t number_;
    const std::function<void(const news&)> tell_;
    const std::shared_ptr<life_mailbox> mail_;
    const std::shared_ptr<incarnation> body_;
    const clock::time_point born_ = clock::now();
    std::vector<tool_spec> tools_;
    std::string lane_;
    int told_level_ = 0;  // of Python's logging, that the worker was told
    std::string exit_;
    memory_kills memory_kills_;
    std::string ended_because_;  // empty: it ended by itself
    restart_reason reason_ = restart_reason::no_start;
    asio::steady_timer grace_;
    bool grace_is_watched_ = false;
    bool over_ = false;
    bool draining_ = false;
    bool retiring_ = false;
    bool as_told_ = false;
    bool wants_last_stack_ = false;   // it was asked for because of its end
    std::uint64_t last_request_ = 0;  // for stacks
    std::map<std::uint64_t, std::function<void(result<std::string>)>> wants_stacks_;
    std::shared_ptr<slow_watch> slow_watch_;               // null: slow calls are not told of
    std::shared_ptr<const resource_attributes> resource_;  // of its spans, from the first one on
    std::optional<error> ending_;                          // it was told to end: what calls hear that take too long

    mutable std::mutex mutex_;
    std::shared_ptr<line> line_;
    std::shared_ptr<heartbeat> heartbeat_;
    std::shared_ptr<lifecycle> lifecycle_;
    std::uint64_t times_blocked_ = 0;
    std::uint64_t begun_id_ = 0;  // the call that ran at the last pong
    clock::time_point begun_at_;  // since then
    int pid_ = 0;
    std::uint64_t ended_calls_ = 0;  // when there is no line any more
    bool ended_ = false;
};

}  // namespace snakepit::detail
