#pragma once
/// @file
/// What a pool can tell about itself.

#include <snakepit/options.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit {

/// Where a worker is in its life.
enum class worker_state {
    booting,           ///< started, not yet ready
    ready,             ///< waits for calls
    executing,         ///< holds at least one call
    missed_heartbeat,  ///< does not answer, and does not look busy: gets no new calls for now
    recycling,         ///< serves on while its successor starts
    stopping,          ///< finishes what it holds, then ends
    restarting,        ///< ended; waits to be started again
    dead               ///< ended for good, or out of service: its restart budget is spent
};

[[nodiscard]] constexpr std::string_view to_string(worker_state s) noexcept {
    switch (s) {
        case worker_state::booting: return "booting";
        case worker_state::ready: return "ready";
        case worker_state::executing: return "executing";
        case worker_state::missed_heartbeat: return "missed_heartbeat";
        case worker_state::recycling: return "recycling";
        case worker_state::stopping: return "stopping";
        case worker_state::restarting: return "restarting";
        case worker_state::dead: return "dead";
    }
    return "unknown";
}

/// Why a worker was replaced.
enum class recycle_reason {
    asked,          ///< `pool::recycle`, `pool::recycle_all`
    age,            ///< `lifecycle_options::max_age`
    calls,          ///< `lifecycle_options::max_calls`
    memory,         ///< `lifecycle_options::max_memory_bytes`
    memory_growth,  ///< `lifecycle_options::max_memory_growth_bytes`
    latency         ///< `lifecycle_options::max_latency`
};

[[nodiscard]] constexpr std::string_view to_string(recycle_reason r) noexcept {
    switch (r) {
        case recycle_reason::asked: return "asked";
        case recycle_reason::age: return "age";
        case recycle_reason::calls: return "calls";
        case recycle_reason::memory: return "memory";
        case recycle_reason::memory_growth: return "memory_growth";
        case recycle_reason::latency: return "latency";
    }
    return "unknown";
}

/// Why a worker had to be started again.
enum class restart_reason {
    no_start,       ///< it did not get ready: its module, its Python, or it took too long
    exit,           ///< its process ended by itself
    signal,         ///< of somebody else, or a crash
    out_of_memory,  ///< the kernel ended it
    silent,         ///< it was ended because it did not answer its heartbeat
    cancel_grace,   ///< it was ended because a call that was cancelled, or had expired, did not stop
    connection,     ///< it was ended because a stream to it had ended
    protocol        ///< it was ended because it broke the protocol
};

[[nodiscard]] constexpr std::string_view to_string(restart_reason r) noexcept {
    switch (r) {
        case restart_reason::no_start: return "no_start";
        case restart_reason::exit: return "exit";
        case restart_reason::signal: return "signal";
        case restart_reason::out_of_memory: return "out_of_memory";
        case restart_reason::silent: return "silent";
        case restart_reason::cancel_grace: return "cancel_grace";
        case restart_reason::connection: return "connection";
        case restart_reason::protocol: return "protocol";
    }
    return "unknown";
}

/// What Python's garbage collector has done in one generation, as gc.get_stats() has it.
struct gc_stats {
    std::uint64_t collections = 0;
    std::uint64_t collected = 0;      ///< objects
    std::uint64_t uncollectable = 0;  ///< likewise
};

/// What a worker's heartbeat tells.
struct heartbeat_stats {
    std::chrono::microseconds latency{};      ///< from ping to pong, moving average; 0: none yet
    std::chrono::microseconds latency_p99{};  ///< of the last hundred
    std::uint64_t missed = 0;                 ///< pongs that were overdue without a reason
    std::uint64_t busy = 0;                   ///< pongs that were overdue while a call used the processor
    std::uint64_t resident_bytes = 0;         ///< memory of the process, as of the last pong
    /// Of the process, as of the last pong, by generation; nothing: there was none yet, or its Python does not say.
    std::optional<std::array<gc_stats, 3>> gc;
};

/// One worker at one moment.
struct worker_stats {
    std::string id;     ///< "w0", or "io-0" in the group "io"
    std::string group;  ///< empty: one of the pool's own, which were given no name
    worker_state state = worker_state::booting;
    int pid = 0;                      ///< 0 when there is no process
    std::uint64_t incarnation = 0;    ///< how often it was started
    std::chrono::milliseconds age{};  ///< since the start of this incarnation; 0 when there is none
    std::size_t outstanding = 0;      ///< calls sent and not ended
    std::uint64_t calls = 0;          ///< that this incarnation has ended
    std::uint64_t total_calls = 0;    ///< that all its incarnations have ended
    /// Calls that it would be given at once if all took as long as the last ones: see `pool_options::calls_per_worker`.
    std::size_t credit = 0;
    std::chrono::microseconds service_time{};  ///< inside of the tool, mean of the last calls; 0: none yet
    std::chrono::microseconds round_trip{};    ///< to the worker and back, mean of the last ones; 0: not measured yet
    std::string running;                       ///< the tool of the call that it is at; empty: none
    /// For how long, as the heartbeat tells: 0 for a call that has begun since the last answer.
    std::chrono::microseconds running_for{};
    std::uint64_t restarts = 0;                        ///< starts after it had ended unexpectedly
    std::map<recycle_reason, std::uint64_t> recycles;  ///< times a successor took over
    std::string recycling_failed;                      ///< why the last successor did not; empty: it did
    std::string lane;                                  ///< "direct", "iterator", or empty before the first hello
    heartbeat_stats heartbeat;                         ///< of this incarnation
    /// Times that the event loop of this incarnation did not turn for a second, because a tool held it up.
    std::uint64_t loop_blocked = 0;
    std::string last_exit;  ///< how the last incarnation ended, and why; empty before
};

/// How long calls wait in the queue for a place at a worker.
struct wait_stats {
    std::uint64_t count = 0;              ///< calls that had to, and have got a place
    std::chrono::microseconds total{};    ///< what these have waited, together
    std::chrono::microseconds longest{};  ///< of these
    std::chrono::microseconds waiting{};  ///< for how long the first in a queue has waited until now; 0: none does

    /// One more has got its place.
    void add(std::chrono::microseconds waited) noexcept {
        ++count;
        total += waited;
        longest = std::max(longest, waited);
    }
    /// The calls of both.
    wait_stats& operator+=(const wait_stats& other) noexcept {
        count += other.count;
        total += other.total;
        longest = std::max(longest, other.longest);
        waiting = std::max(waiting, other.waiting);
        return *this;
    }
};

/// What became of calls. Counters only grow. Every call that was let in is in exactly one of the outcomes, or in
/// `queued` or `in_flight`.
struct call_stats {
    std::uint64_t submitted = 0;     ///< calls that were let in: queued or sent
    std::uint64_t succeeded = 0;     ///< ended with a value
    std::uint64_t failed = 0;        ///< ended with an error that is none of the next two
    std::uint64_t cancelled = 0;     ///< ended by their callers
    std::uint64_t expired = 0;       ///< ended by their deadlines
    std::uint64_t refused = 0;       ///< never let in: queue full, or their tool is degraded
    std::uint64_t late_replies = 0;  ///< replies whose callers had gone
    std::uint64_t moved = 0;      ///< times a call went to another worker because its own died before it had begun it
    std::uint64_t recalled = 0;   ///< times a call was taken back from a worker that was slow, before it had begun it
    std::uint64_t recovered = 0;  ///< calls whose reply was found after the death of their worker
    std::uint64_t retried = 0;    ///< idempotent calls that were run again
    std::uint64_t hedged = 0;     ///< calls that are second attempts, see `call_options::hedge_after`
    std::size_t queued = 0;       ///< wait for a worker
    std::size_t queued_interactive = 0;  ///< those of `queued` with this priority
    std::size_t queued_normal = 0;       ///< likewise
    std::size_t queued_batch = 0;        ///< likewise
    wait_stats waits;
    std::size_t in_flight = 0;           ///< sent, with a caller that waits
    std::uint64_t frames_sent = 0;       ///< to workers
    std::uint64_t frames_received = 0;   ///< from them
    std::uint64_t calls_sent = 0;        ///< in `frames_sent`: a call that had to be sent again counts again
    std::uint64_t replies_received = 0;  ///< in `frames_received`
    std::uint64_t bytes_sent = 0;        ///< of `frames_sent`: arguments, items and what goes with them, about
    std::uint64_t bytes_received = 0;    ///< of `frames_received`, encoded

    /// The calls of both.
    call_stats& operator+=(const call_stats& other) noexcept {
        submitted += other.submitted;
        succeeded += other.succeeded;
        failed += other.failed;
        cancelled += other.cancelled;
        expired += other.expired;
        refused += other.refused;
        late_replies += other.late_replies;
        moved += other.moved;
        recalled += other.recalled;
        recovered += other.recovered;
        retried += other.retried;
        hedged += other.hedged;
        queued += other.queued;
        queued_interactive += other.queued_interactive;
        queued_normal += other.queued_normal;
        queued_batch += other.queued_batch;
        waits += other.waits;
        in_flight += other.in_flight;
        frames_sent += other.frames_sent;
        frames_received += other.frames_received;
        calls_sent += other.calls_sent;
        replies_received += other.replies_received;
        bytes_sent += other.bytes_sent;
        bytes_received += other.bytes_received;
        return *this;
    }
};

/// One group of workers at one moment: one of `pool_options::groups`, or the pool's own.
struct group_stats : call_stats {
    std::string name;      ///< empty: the pool's own, which were given none
    std::string degraded;  ///< which of its workers are out of service, and of its tools, and why; empty: none
};

/// A pool at one moment. The calls are those of all its groups.
struct pool_stats : call_stats {
    std::uint64_t refused_connections = 0;  ///< peers at the socket that were not our workers
    std::string degraded;                   ///< which workers and tools are out of service, and why; empty: none
    /// How workers are started: as `pool_options::start_method` says, or spawn where fork cannot be.
    snakepit::start_method start_method = snakepit::start_method::fork;
    std::string start_method_reason;   ///< why not fork; empty when it is
    int metrics_port = 0;              ///< where `pool_options::metrics_listen` listens; 0: nowhere
    std::uint64_t spans_exported = 0;  ///< of traces, by OTLP
    std::uint64_t spans_dropped = 0;   ///< because they could not be exported
    bool draining = false;             ///< no calls are let in: `snakepit drain`
    std::size_t sessions = 0;          ///< that there are now; 0 with a `session_backend` of your own
    std::vector<worker_stats> workers;
    std::vector<group_stats> groups;  ///< the pool's own first; empty before the start
};

}  // namespace snakepit
