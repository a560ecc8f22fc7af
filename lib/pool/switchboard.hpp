#pragma once
// Who gets which call: the queue of waiting calls, the lines of the workers, and the deadlines, under one mutex.

#include "pool/call.hpp"
#include "pool/class_queue.hpp"
#include "pool/credit.hpp"
#include "pool/deadlocks.hpp"
#include "pool/line.hpp"
#include "pool/queue_warmer.hpp"
#include "pool/retry_budget.hpp"
#include "pool/session_homes.hpp"
#include "pool/timing_wheel.hpp"
#include "pool/tool_breaker.hpp"
#include "telemetry/event_bus.hpp"

#include <snakepit/stats.hpp>
#include <snakepit/tools.hpp>

#include <array>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace snakepit::detail {

/// A reply as it came off the wire.
struct settlement {
    std::uint64_t id = 0;
    result<value> outcome;
    bool has_run = true;       ///< its tool was begun
    std::uint64_t run_us = 0;  ///< in its tool
    bool recalled = false;     ///< it was not, and is the host's again
};

/// What is known about the calls of a worker that has ended.
struct last_words {
    static constexpr auto unknown = ~std::uint64_t{0};  ///< it may have begun all that it was sent

    std::uint64_t begun = unknown;    ///< id of the last call that it had begun
    std::uint64_t done = 0;           ///< id of the last that it had done
    std::vector<settlement> replies;  ///< to such calls, that may not have come
    /// Of a worker that runs several at once: ids of those that it had begun and not done, which `done` does not say.
    std::optional<std::vector<std::uint64_t>> running{};
    std::vector<std::uint64_t> waiting{};  ///< up to `begun`, ids of those that it had not begun all the same

    /// Those of a batch are begun and done together.
    [[nodiscard]] bool was_running(std::uint64_t id) const;
    [[nodiscard]] bool was_done(std::uint64_t id) const;
    [[nodiscard]] bool was_waiting(std::uint64_t id) const;
};

/// A call that a worker was sent and has not ended.
struct held_call {
    std::uint64_t id = 0;
    std::string tool;
};

/// What a worker is at, as far as the host knows: it begins calls in the order of their ids, so of those that it has
/// not ended the first ones run, as many as it runs at once, or as are in its batch.
struct occupation {
    std::uint64_t id = 0;       ///< of the first call that it has not ended; 0: it has none
    std::uint64_t last_id = 0;  ///< of the last call of the same batch
    std::string tool;           ///< of these
    bool in_live_call = false;  ///< one that runs has a caller that waits
    bool has_unwanted = false;  ///< it holds calls whose callers have gone
    /// Since when one that runs is not wanted any more; of a batch, all of it.
    std::optional<call::clock::time_point> asked_at;
};

/// What waits, and whether it moves.
struct backlog {
    std::size_t waiting = 0;  ///< calls without a place, and calls behind another one at their worker
    bool too_long = false;    ///< one of them waited already at that look before, and no worker is free
};

/** The busy middle of a pool. Calls come in by `submit`, leave in frames by `take`, and end by `settle`.

    The mutex is held for less than a microsecond per call, never across a suspension, a user's code, a codec or a
    large copy; everything that follows from a change (completions, flushes, cancels) happens after it is released.

    @par Thread safety  every member from any thread */
class switchboard {
public:
    struct limits {
        std::size_t queue = 0;      ///< calls that may wait
        int calls_per_line = 1;     ///< calls with a place on one line
        std::size_t in_flight = 0;  ///< bytes of arguments on one line, unless one call alone has more
        std::size_t sessions = 0;   ///< that are remembered without having a call
        when_worker_goes strict_calls = when_worker_goes::migrate;
        credit_rules credit = {};
        tool_breaker::limits tools = {};
    };
    /// Asked for a call of `expire` at that time or soon after; replaces what it was asked for before. Called without
    /// the mutex, one at a time; must not call back.
    using alarm = std::function<void(call::clock::time_point)>;

    /// Who hears of it when calls end.
    struct audience {
        std::shared_ptr<event_bus> events{};  ///< null: nobody
        std::string group{};
    };

    /// @param deadlocks  of the pool, which has this board or will be given it
    switchboard(limits allowed, alarm set_alarm,
                std::shared_ptr<deadlock_watch> deadlocks = std::make_shared<deadlock_watch>(),
                audience told = {nullptr, {}});
    ~switchboard();
    switchboard(const switchboard&) = delete;
    switchboard& operator=(const switchboard&) = delete;

    // The callers' side.

    /// Lets the call in, or completes it with the reason why not. Completes by posting, never before this returns.
    void submit(call_ptr c);
    /// Answers the caller with `why` (cancelled, deadline_exceeded) if it has no answer yet.
    void give_up(call& c, errc why);
    /// The same for many, of which none is begun because another one makes room for it.
    void give_up(std::vector<call_ptr> all, errc why);
    /// Sends the call to another worker than the first one's, if that is under way, one is free, and the retry budget
    /// has something left.
    /// @return  false: nothing was done
    [[nodiscard]] bool hedge(const call_ptr& second, const call& first);
    /// Gives up what is due, and takes calls back from workers that stand still; the alarm's answer.
    void expire(call::clock::time_point now);

    // The host's side of a running call.

    struct asker {
        call_ptr who;           ///< null: it has ended
        bool is_known = false;  ///< this worker was sent a call of this id
    };
    /// A call that a worker was sent and has not ended, so far as is known here: it may be at the next one while a
    /// large reply is on its way.
    [[nodiscard]] asker held_by(const line& l, std::uint64_t id) const;
    /// Something in the host works for the call from now on. It is given up when the call is.
    /// @return  false: nobody wants it any more
    [[nodiscard]] bool add_helper(call& of, std::shared_ptr<helper> h);
    void remove_helper(call& of, const helper& h);
    /// The answer to a question of the worker's: an encoded Finding.
    void answer(line& to, std::uint64_t number, std::string finding);

    // Streams.

    /// Its caller has used so much of what came.
    void give_credit(call& of, std::size_t bytes);
    /// Its caller has something to send, or nothing more.
    void input_ready(call& of);
    /// What a worker says of streams in one frame, ahead of the replies.
    /// @return  or the breach of protocol
    [[nodiscard]] std::optional<std::string> take_streams(line& from, std::vector<arrived_items>& items,
                                                          const std::vector<arrived_grant>& grants);

    // The workers' side.

    /// A worker is ready: calls may go to it from now on. Its module may have changed since the pool was started: a
    /// tool is offered while a connected worker has it, and every tool that there was while none is connected.
    /// @param max_calls  after which the lane hears that it has served; 0: never
    /// @param width      calls that it executes at once
    [[nodiscard]] std::shared_ptr<line> connect(std::string worker, const std::vector<tool_spec>& tools,
                                                std::shared_ptr<lane> out, std::uint64_t max_calls = 0, int width = 1);
    /// The next frame, or false when there is none or one is being written. After true, `written` must follow, and
    /// until then `into` is the caller's; after false it was not touched.
    [[nodiscard]] bool take(line& from, out_frame& into);
    void written(line& to);
    /// A frame has come, of that size.
    void received(std::size_t bytes) noexcept;
    /// The calls of a frame have ended at their worker, or were recalled.
    /// @return  or the breach of protocol when the worker replied to a call that it does not hold, or gave one back
    ///          that it was not asked for
    [[nodiscard]] std::optional<std::string> settle(line& from, std::vector<settlement>& replies);
    /// No new calls for this worker until `resume`; what it was not sent goes back to the head of the queue. Strict
    /// calls of its sessions wait for it.
    /// @return  the last id it was sent
    std::uint64_t suspend(line& l);
    /// As `suspend`, for good: its sessions have no worker any more. What waits for it moves, or fails, at once.
    std::uint64_t dismiss(line& l);
    /// As `dismiss`: the lane hears that it has served when what it was sent has ended. Not when there is
    /// nothing, which `load` tells.
    void retire(line& l);
    /// Takes `suspend` back.
    void resume(line& l);
    /** The worker is gone. Must follow `connect`.

        Calls whose replies were found get these. Calls that it had not begun go to others, and their callers notice
        nothing; so does the one that it was running, once, when that does no harm and the retry budget allows it. A
        call that was running when a second worker died is poison_call. What is left ends with `why`. */
    void disconnect(line& l, const error& why, last_words said = last_words());
    /// In the order of their ids.
    [[nodiscard]] std::vector<held_call> held(const line& l) const;
    /// The last id that it was sent.
    [[nodiscard]] std::uint64_t last_sent(const line& l) const;
    [[nodiscard]] std::size_t load(const line& l) const;
    /// @param begun  id of the last call that it has begun, as it says
    [[nodiscard]] occupation occupation_of(const line& l, std::uint64_t begun) const;
    /// Empty: it does not hold that call.
    [[nodiscard]] std::string tool_of(const line& l, std::uint64_t id) const;
    /// Most calls that it begins and ends together.
    [[nodiscard]] int at_once(const line& l) const;
    /// Whether somebody waits for one of these calls, which it holds.
    [[nodiscard]] bool wants_any(const line& l, const std::vector<std::uint64_t>& ids) const;
    /// Calls that it has ended.
    [[nodiscard]] std::uint64_t ended(const line& l) const;
    [[nodiscard]] pace pace_of(const line& l) const;

    // The whole.

    /// Calls are let in from now on.
    void open();
    /// Nobody is let in any more, and who waits ends with `why`.
    void shut(const error& why);
    /// As `shut`, until `reopen`.
    void close_for(const error& why);
    void reopen();
    /// The same for all boards of a pool.
    [[nodiscard]] const deadlock_watch& deadlocks() const noexcept { return *deadlocks_; }
    /// Between `open` and `shut`.
    [[nodiscard]] bool is_open() const;
    [[nodiscard]] bool offers(const std::string& tool) const;
    /// A connected worker has it.
    [[nodiscard]] bool serves(const std::string& tool) const;
    [[nodiscard]] std::vector<tool_spec> tools() const;
    /// Calls `tell` once, when a call waits: for a place, or behind another one at its worker. Without the mutex; must
    /// not call back. Takes the place of what was set before.
    void tell_of_waiting(std::function<void()> tell);
    /// Compares what waits with what waited at the look before that was to be remembered. Takes time for each worker,
    /// and none of a call.
    [[nodiscard]] backlog look(bool remember);
    /// As many workers as there can be: while some are missing, those that wait for each other may wait for these.
    void expect_workers(std::size_t most);
    [[nodiscard]] call_stats stats() const;
    /// Which are out of service, and why; empty: none.
    [[nodiscard]] std::string degraded_tools() const;

private:
    friend class deadlock_watch;

    struct consequences;
    struct known_tool {
        tool_spec spec;  // as the newest worker has it
        bool idempotent = false;
        bool streams = false;  // yields items, or takes some
        bool takes_input = false;
        int lines = 0;  // that have it
        int batch = 1;  // calls that run together
        tool_breaker breaker;
        bool main_thread = false;
        mean_duration cost;  // in the tool
    };

    [[nodiscard]] bool is_offered(const known_tool& t) const { return t.lines > 0 || lines_.empty(); }
    [[nodiscard]] std::optional<errc> refusal(call& c, call::clock::time_point now);
    [[nodiscard]] error explain(errc refused, const call& c) const;
    [[nodiscard]] bool takes(const line& l, const call& c) const;
    line* pick(const call& c);
    [[nodiscard]] line* line_of(const session_home& h) const;
    [[nodiscard]] line* home_of(const call& c) const;
    line* find_line(const call& c, const call* ahead);
    [[nodiscard]] std::optional<errc> refusal_at_home(const call& c) const;
    [[nodiscard]] bool wants(const call& c, const line& l) const;
    void await_home(call& c, line& home);
    void stop_waiting(call& c);
    void serve_waiting(line& l, std::optional<call::clock::time_point>& now, consequences& todo);
    void note_wait(const call& c, std::optional<call::clock::time_point>& now);
    bool serve_queue(std::optional<call::clock::time_point>& now, consequences& todo);
    bool serve(call& c, std::optional<call::clock::time_point>& now, consequences& todo);
    void leave_queue(call& c);
    void finish(call& c);
    void fail_waiting(call& c, const error& why, consequences& todo);
    void dismiss_locked(line& l, consequences& todo);
    void put_on(line& l, call& c);
    void take_off(call& c, consequences& todo);
    void waits_in_queue(call& c, call::clock::time_point now);
    void pump(consequences& todo);
    void end(call& c, result<value> outcome, consequences& todo);
    void end_by_reply(line& from, call& c, result<value> outcome, consequences& todo);
    static void pass_on_move(const line& from, std::uint64_t unserved);
    void answer(call_ptr c, result<value> outcome, consequences& todo);
    void give_up_locked(call& c, errc why, consequences& todo);
    [[nodiscard]] std::uint64_t& counter_of(const result<value>& outcome);
    void release(call& c);
    void set_load(line& l, int load);
    void enter_bucket(line& l);
    void leave_bucket(line& l);
    void end_queue(const error& why, consequences& todo);
    void let_helpers_go(call& c, const error& why, consequences& todo);
    void let_helpers_go(call& c, consequences& todo);
    void add_answers(line& from, out_frame& into) const;
    static void add_streams(line& from, out_frame& into, std::size_t share);
    static void note_input(call& c);
    void add_credit(call& c, std::size_t bytes, consequences& todo);
    static void post(call_ptr c, consequences& todo);
    [[nodiscard]] static bool has_begun(const call& c);
    [[nodiscard]] static const switchboard* running_at(const call& c);
    [[nodiscard]] static std::vector<call*> running_on(const line& l);
    [[nodiscard]] bool waits_for_nested(const line& l) const;
    [[nodiscard]] std::size_t together(const line& l) const;
    [[nodiscard]] bool has_ended(const line& l, std::uint64_t id) const;
    [[nodiscard]] bool stands_still() const;
    void give_back_unsent(line& l, consequences& todo);
    void give_back(std::vector<call*>& calls, consequences& todo);
    [[nodiscard]] std::optional<error> end_of(call& c, const error& why, const last_words& said);
    [[nodiscard]] std::uint32_t cost_of(const call& c) const;
    [[nodiscard]] static bool gathers_batch(const line& l, int batch);
    [[nodiscard]] bool has_credit(const line& l, const call& c) const;
    [[nodiscard]] bool may_have_more(const line& l) const;
    [[nodiscard]] bool is_kept_off(const call& c) const;
    [[nodiscard]] class_queue::mask kept_off() const;
    void note_interactive(call::clock::time_point now);
    void note_lateness(priority of, call::clock::time_point now);
    [[nodiscard]] call* next_in_queue(class_queue::mask without = 0) const;
    [[nodiscard]] bool make_room(const call& wanted_for, call::clock::time_point now, consequences& todo);
    [[nodiscard]] std::chrono::milliseconds half_of_queue(call::clock::time_point now) const;
    void note_death(const std::vector<call*>& lost, const error& why, const last_words& said, consequences& todo);
    [[nodiscard]] error degraded_tool_error(const known_tool& tool, call::clock::time_point now) const;
    bool fail_if_degraded(call& c, std::optional<call::clock::time_point>& now, consequences& todo);
    void look_at_stalled_lines();
    void arm_check(call::clock::time_point now, consequences& todo);
    void check_lines(call::clock::time_point now, consequences& todo);
    void take_back(line& from, consequences& todo);
    bool look_at_main_thread(line& from, consequences& todo);
    void given_back(line& from, call& c, std::vector<call*>& again, consequences& todo);
    static void count_down(line& l, consequences& todo);
    void want_flush(const line& l, consequences& todo);
    void begin_trail(call& c) const;
    static void note_attempt_over(call& c, std::string_view outcome);
    void note_reply(known_tool& tool, consequences& todo);
    void tell(consequences& todo) const;
    void act(consequences& todo);
    void tell_alarm();
    [[nodiscard]] std::uint64_t tick_of(call::clock::time_point t) const;

    const limits allowed_;
    const alarm set_alarm_;
    const call::clock::time_point epoch_;
    const std::shared_ptr<deadlock_watch> deadlocks_;
    const audience told_;

    std::mutex alarm_mutex_;  // taken before the other one: the last alarm set is the newest
    mutable std::mutex mutex_;
    bool open_ = false;
    std::optional<error> shut_;
    std::optional<error> closed_for_;
    class_queue queue_;
    class_queue::mask newest_first_ = 0;                             // classes whose first call has waited for too long
    std::vector<intrusive_list<line, &line::bucket_hook>> buckets_;  // routable lines by load, below the limit
    std::vector<std::uint64_t> bucket_bits_;                         // which of them are not empty
    session_homes homes_;
    absl::flat_hash_map<std::uint64_t, line*> by_number_;      // those that have not gone
    intrusive_list<line, &line::waited_for_hook> waited_for_;  // those in buckets for which strict calls wait
    std::uint64_t last_number_ = 0;
    intrusive_list<line, &line::all_hook> lines_;  // not disconnected yet
    queue_warmer warmer_;
    retry_budget retries_;
    std::size_t workers_ = 0;
    std::function<void()> tell_of_waiting_;
    std::uint64_t seen_ticket_ = 0;  // the newest call when `look` came by
    timing_wheel<call> deadlines_;
    std::uint64_t alarm_at_ = timing_wheel<call>::never;
    std::uint64_t check_at_ = timing_wheel<call>::never;  // when the lines are looked at
    bool wants_check_ = false;
    int free_places_ = 0;                                     // of lines in buckets: calls that would begin at once
    std::array<std::size_t, class_queue::classes> placed_{};  // calls with a place on a line
    std::size_t interactive_streams_ = 0;                     // of the interactive ones: they may stay for long
    bool interactive_lately_ = false;
    call::clock::time_point interactive_at_;  // when the last one came
    std::vector<known_tool> tools_;           // of every module that there was; a number stays
    std::unordered_map<std::string, std::uint32_t> tool_index_;
    call_stats counters_;
    std::atomic<std::uint64_t> frames_received_ = 0;  // these two not under the mutex: not every frame needs it
    std::atomic<std::uint64_t> bytes_received_ = 0;
};

}  // namespace snakepit::detail
