#pragma once
/// @file
/// What can be told about a pool, as it happens. docs/events.md has the table of all of it.

#include <snakepit/error.hpp>
#include <snakepit/export.hpp>
#include <snakepit/log.hpp>
#include <snakepit/options.hpp>
#include <snakepit/stats.hpp>
#include <snakepit/trace_ids.hpp>
#include <snakepit/value.hpp>

#include <asio/awaitable.hpp>
#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace snakepit {

/// Each kind of event: its name, when it happens, and what it tells. A group without a name is the pool's own.
namespace happened {

struct pool_started {
    static constexpr std::string_view name = "pool_started";
    static constexpr std::string_view when = "the first workers are up, and calls are let in";
    std::string module;
};
struct pool_draining {
    static constexpr std::string_view name = "pool_draining";
    static constexpr std::string_view when = "an operator has asked that no more calls be let in";
};
struct pool_resumed {
    static constexpr std::string_view name = "pool_resumed";
    static constexpr std::string_view when = "calls are let in again";
};
struct pool_stopped {
    static constexpr std::string_view name = "pool_stopped";
    static constexpr std::string_view when = "nothing is left of its workers";
};
struct connection_refused {
    static constexpr std::string_view name = "connection_refused";
    static constexpr std::string_view when = "somebody who is not an awaited worker was turned away at the socket";
    int pid = 0;  ///< 0: not known
    std::string why;
};

struct worker_hired {
    static constexpr std::string_view name = "worker_hired";
    static constexpr std::string_view when = "a worker belongs to the pool from now on; it is booting";
    std::string worker;
    std::string group;
};
struct worker_left {
    static constexpr std::string_view name = "worker_left";
    static constexpr std::string_view when = "nothing is left of a worker that the pool had no more use for";
    std::string worker;
};
struct worker_moved {
    static constexpr std::string_view name = "worker_moved";
    static constexpr std::string_view when = "a worker's state has changed, or something that matters in it";
    std::string worker;
    std::uint64_t incarnation = 0;  ///< the newest
    worker_state from{};
    worker_state to{};
    std::string cause;  ///< as ARCHITECTURE.md names it
    std::string why;    ///< where there is more to say than `cause` does
};
struct worker_ended {
    static constexpr std::string_view name = "worker_ended";
    static constexpr std::string_view when = "one incarnation of a worker has ended";
    std::string worker;
    std::uint64_t incarnation = 0;
    bool planned = false;  ///< it was told to: no death
    error why;             ///< with its exit and last output
};
struct worker_restarting {
    static constexpr std::string_view name = "worker_restarting";
    static constexpr std::string_view when = "a worker that has died will be started again";
    std::string worker;
    std::uint64_t restarts = 0;  ///< this one included
    std::chrono::milliseconds pause{};
    restart_reason reason{};
};
struct worker_recycled {
    static constexpr std::string_view name = "worker_recycled";
    static constexpr std::string_view when = "a successor has taken over";
    std::string worker;
    std::uint64_t incarnation = 0;  ///< the successor's
    recycle_reason reason{};
};
struct heartbeat_answered {
    static constexpr std::string_view name = "heartbeat_answered";
    static constexpr std::string_view when = "a worker has answered the heartbeat";
    std::string worker;
    std::uint64_t incarnation = 0;
    std::chrono::microseconds latency{};
    std::uint64_t resident_bytes = 0;
};
struct loop_blocked {
    static constexpr std::string_view name = "loop_blocked";
    static constexpr std::string_view when =
        "a worker's event loop does not turn though it has something to do; or it does again";
    std::string worker;
    std::uint64_t incarnation = 0;
    std::chrono::microseconds so_far{};
    std::string by;     ///< the tool and its call, or what else it may be
    std::string stack;  ///< of Python; empty: it turns again
};
struct worker_wrote {
    static constexpr std::string_view name = "worker_wrote";
    static constexpr std::string_view when = "a worker has written a line to stdout or stderr";
    std::string worker;
    std::uint64_t incarnation = 0;
    std::string stream;      ///< "stdout" or "stderr"
    std::string line;        ///< without its end
    std::uint64_t call = 0;  ///< its number at this worker; 0: none, or not known
    std::string tool;        ///< of that call
    std::string trace_id;    ///< likewise
};
struct worker_logged {
    static constexpr std::string_view name = "worker_logged";
    static constexpr std::string_view when = "Python's logging has a record in a worker";
    std::string worker;
    std::uint64_t incarnation = 0;
    log_level level{};
    std::string logger;
    std::string message;     ///< with the traceback, if there is one
    std::uint64_t call = 0;  ///< its number at this worker; 0: outside of calls
    std::string tool;
    std::string trace_id;
    std::string span_id;
    std::vector<std::pair<std::string, std::string>> fields;  ///< `extra` of the record
};
struct output_dropped {
    static constexpr std::string_view name = "output_dropped";
    static constexpr std::string_view when = "lines or log records of a worker came too fast and were left out";
    std::string worker;
    std::uint64_t incarnation = 0;
    std::string stream;  ///< "stdout", "stderr" or "logging"
    std::uint64_t lines = 0;
};

struct group_degraded {
    static constexpr std::string_view name = "group_degraded";
    static constexpr std::string_view when = "one more worker of a group is out of service";
    std::string group;
    std::string why;  ///< all of them
};
struct group_recovered {
    static constexpr std::string_view name = "group_recovered";
    static constexpr std::string_view when = "no worker of the group is out of service any more";
    std::string group;
};
struct group_resized {
    static constexpr std::string_view name = "group_resized";
    static constexpr std::string_view when = "a group was told to have another size";
    std::string group;
    worker_count from;
    worker_count to;
};
struct tool_degraded {
    static constexpr std::string_view name = "tool_degraded";
    static constexpr std::string_view when = "a tool has ended too many workers in a row and is out of service";
    std::string group;
    std::string tool;
};
struct tool_recovered {
    static constexpr std::string_view name = "tool_recovered";
    static constexpr std::string_view when = "a tool that was out of service has replied";
    std::string group;
    std::string tool;
};

/// One time that a call was sent to a worker.
struct attempt {
    std::string worker;
    std::chrono::steady_clock::time_point sent;
    std::chrono::steady_clock::time_point ended;
    std::string outcome;                             ///< "ok", the name of an errc, or "recalled"
    std::chrono::steady_clock::time_point queued{};  ///< since when it had waited for a place at a worker
    std::chrono::steady_clock::time_point placed{};  ///< since when it had one
};
struct call_ended {
    static constexpr std::string_view name = "call_ended";
    static constexpr std::string_view when = "a call's caller has its outcome, or was refused";
    std::string tool;  ///< as the caller says it: of a call with errc::unknown_tool it may be anything
    std::string group;
    std::string worker;   ///< that it was sent to last; empty: none
    std::string outcome;  ///< "ok", or the name of an errc
    snakepit::priority priority{};
    bool stream = false;
    bool hedge = false;            ///< it is a second attempt, see `call_options::hedge_after`
    std::uint64_t sent_bytes = 0;  ///< arguments, encoded
    std::chrono::steady_clock::time_point submitted;
    std::chrono::steady_clock::time_point ended;
    std::chrono::microseconds queued{};      ///< without a place at a worker, before all attempts together
    std::chrono::microseconds dispatched{};  ///< of the last attempt: from its place to the frame that took it
    std::chrono::microseconds wire{};        ///< of the last attempt: there and back, without the tool's time
    std::chrono::microseconds running{};  ///< in the tool, as the worker says; 0: it did not run, or that is not known
    std::vector<attempt> attempts;        ///< each time that it was sent, in order
    std::optional<error> why;             ///< unless it is "ok"
    snakepit::trace_id trace_id;          ///< none: it has no trace
    snakepit::span_id span_id;            ///< of the span that the call is; none: nothing is traced here
    snakepit::span_id parent_span_id;     ///< of the caller's span
    std::string tracestate;
    bool sampled = false;  ///< the span is recorded
};
struct call_slow {
    static constexpr std::string_view name = "call_slow";
    static constexpr std::string_view when = "a call has run for longer than `slow_call_threshold`; once for each call";
    std::string worker;
    std::uint64_t incarnation = 0;
    std::uint64_t call = 0;
    std::string tool;
    std::string trace_id;
    std::chrono::microseconds running_for{};
    std::string stack;  ///< of the thread that runs it, in Python
};
struct setting_ignored {
    static constexpr std::string_view name = "setting_ignored";
    static constexpr std::string_view when =
        "an environment variable is not heeded, as it was not understood or is about what there is not here";
    std::string why;  ///< which one, what it is, and what it may be
};
struct telemetry_dropped {
    static constexpr std::string_view name = "telemetry_dropped";
    static constexpr std::string_view when = "spans or metrics could not be exported and were given up";
    std::uint64_t spans = 0;  ///< 0: metrics, which are told of once, until they go well again
    std::string why;
};

using any =
    std::variant<pool_started, pool_draining, pool_resumed, pool_stopped, connection_refused, worker_hired, worker_left,
                 worker_moved, worker_ended, worker_restarting, worker_recycled, heartbeat_answered, loop_blocked,
                 worker_wrote, worker_logged, output_dropped, group_degraded, group_recovered, group_resized,
                 tool_degraded, tool_recovered, call_ended, call_slow, setting_ignored, telemetry_dropped>;

}  // namespace happened

struct event {
    std::chrono::system_clock::time_point time;
    happened::any what;
};

/// "worker_ended"
[[nodiscard]] SNAKEPIT_API std::string_view name_of(const event& e) noexcept;

/// An object: "time" (RFC 3339, UTC), "event", and what it tells; durations in seconds, an error as its code and
/// message. Line by line what `snakepit events --json` prints.
[[nodiscard]] SNAKEPIT_API value to_value(const event& e);

namespace detail {
template <class Kind, class... All>
constexpr std::size_t position_of(std::type_identity<std::variant<All...>>) {
    std::size_t i = 0;
    ((std::is_same_v<Kind, All> || (++i, false)) || ...);
    return i;
}
}  // namespace detail

/// Which events a subscriber wants. All, unless it is told otherwise.
class event_filter {
public:
    static constexpr std::size_t kinds = std::variant_size_v<happened::any>;
    template <class Kind>
    static constexpr std::size_t index_of = detail::position_of<Kind>(std::type_identity<happened::any>());

    event_filter() { kinds_.set(); }

    /// These kinds alone: `event_filter::only<happened::worker_ended, happened::call_slow>()`.
    template <class... Kinds>
    [[nodiscard]] static event_filter only() {
        event_filter f;
        f.kinds_.reset();
        (f.kinds_.set(index_of<Kinds>), ...);
        return f;
    }
    /// All but the two that come with each call and each beat: call_ended and heartbeat_answered.
    [[nodiscard]] static event_filter lifecycle() {
        event_filter f;
        f.kinds_.reset(index_of<happened::call_ended>).reset(index_of<happened::heartbeat_answered>);
        return f;
    }
    /// The same, and this kind too.
    template <class Kind>
    [[nodiscard]] event_filter with() const {
        auto f = *this;
        f.kinds_.set(index_of<Kind>);
        return f;
    }
    /// The same without this kind.
    template <class Kind>
    [[nodiscard]] event_filter without() const {
        auto f = *this;
        f.kinds_.reset(index_of<Kind>);
        return f;
    }
    /// By their names, as in docs/events.md. @return nothing when there is one that there is not
    [[nodiscard]] SNAKEPIT_API static std::optional<event_filter> named(const std::vector<std::string>& names);
    /// Of these only what is about this worker ("w0"); events about no worker are left out then.
    event_filter& worker(std::string id) {
        worker_ = std::move(id);
        return *this;
    }

    [[nodiscard]] SNAKEPIT_API bool wants(const event& e) const;

    [[nodiscard]] const std::bitset<kinds>& wanted_kinds() const noexcept { return kinds_; }

private:
    std::bitset<kinds> kinds_;
    std::string worker_;
};

namespace detail {
class event_bus;
class event_queue;
struct subscription_entry;
}  // namespace detail

/// Ends with its life: then the subscriber is not called any more. It may end within such a call, and may outlive the
/// pool.
class SNAKEPIT_API event_subscription {
public:
    event_subscription() = default;
    event_subscription(event_subscription&& other) noexcept { *this = std::move(other); }
    event_subscription& operator=(event_subscription&& other) noexcept {
        std::swap(from_, other.from_);
        std::swap(entry_, other.entry_);
        return *this;
    }
    ~event_subscription();

private:
    friend class detail::event_bus;
    std::weak_ptr<void> from_;
    std::shared_ptr<detail::subscription_entry> entry_;
};

/** Events for a coroutine, which reads them at its own pace.

    The pool waits for no reader: when `capacity` events have not been read, newer ones are left out and counted.

    @par Thread safety  one reader at a time; destruction from any thread
    @par Lifetime       may outlive the pool: what has not been read can be, then there are no more */
class SNAKEPIT_API event_reader {
public:
    event_reader(event_reader&&) noexcept;
    event_reader& operator=(event_reader&&) noexcept;
    ~event_reader();

    /** The next event.

        @return  nothing: the pool has stopped or was destroyed, and all has been read
        @par Errors         none
        @par Cancellation   terminal and partial: the wait ends with nothing; no event is lost
        @par Executor       may be awaited on any executor and resumes there */
    [[nodiscard]] asio::awaitable<std::optional<event>> next();
    /// How many were left out so far because nobody read. Any thread.
    [[nodiscard]] std::uint64_t dropped() const noexcept;

private:
    friend class event_source;
    explicit event_reader(std::shared_ptr<detail::event_queue> q);
    std::shared_ptr<detail::event_queue> queue_;
};

/** Where a pool's events come from: `pool::events()`. The single source of its metrics, traces and logs.

    @par Thread safety  safe
    @par Lifetime       holds the bus, not the pool */
class SNAKEPIT_API event_source {
public:
    /** Calls `tell` for each event there and then, on the thread where it happens: one at a time, what one worker does
        in its order. It must not block, and may end its own subscription; what it throws is lost. An event that nobody
        wants is not even made. */
    [[nodiscard]] event_subscription subscribe(event_filter filter, std::function<void(const event&)> tell) const;
    /// The same for a coroutine. @param capacity  events that wait for their reader, 1 to 1,000,000
    [[nodiscard]] event_reader read(event_filter filter, std::size_t capacity = 1'024) const;

    explicit event_source(std::shared_ptr<detail::event_bus> bus) : bus_(std::move(bus)) {}

private:
    std::shared_ptr<detail::event_bus> bus_;
};

}  // namespace snakepit
