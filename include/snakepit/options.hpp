#pragma once
/// @file
/// How a pool and a call are configured.

#include <snakepit/export.hpp>
#include <snakepit/log.hpp>
#include <snakepit/session_options.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace snakepit {

/// How many workers a pool has.
struct worker_count {
    /// Workers that are kept up. 0 to 1,000; 0 not with a `queue_limit` of 0. `pool::start` brings up these, or one if
    /// it is 0, which proves the module; then a pool that nobody uses has none, and the next call waits for one to
    /// start, within its own time.
    int min = 2;
    /// Upper bound for growth under load (`scaling_options`); 0: the same as min, and 1 if that is 0. At least min, at
    /// most 1,000.
    int max = 0;
};

/// How worker processes are started.
enum class start_method {
    fork,  ///< one process imports the module once and forks the workers: fast, and they share its memory
    spawn  ///< each worker is a new Python that imports the module for itself
};

/** How a worker runs its calls. The same module may serve in each: what differs is which calls run beside each other.

    In every profile `async def` tools are awaited: one after the other on a loop of the thread that runs them, except
   in `async`, where all share one. */
enum class worker_profile {
    process,  ///< one at a time, on the main thread
    /// `threads_per_worker` at once, each in a thread of its own: for tools that wait, or compute without the GIL, as
    /// NumPy does. Every tool has to say that it can do that: `@snakepit.tool(thread_safe=True)`, or `main_thread=True`
    /// for those that stay on the main thread, or `__snakepit_thread_safe__ = True` in the module for all of them; if
    /// one does not, `pool::start` fails with errc::invalid_options.
    thread,
    /// `max_concurrency` at once on one asyncio event loop (uvloop's where it is installed). Tools that are plain
    /// functions run in threads beside it and have to say that they can, as in `thread`.
    async
};

/// Which code serves the worker's side of the Work stream.
enum class lane_kind {
    automatic,  ///< direct if this grpcio can do it, else iterator
    direct,     ///< the runner's own completion queue: fastest
    iterator    ///< grpcio's public API
};

/// What becomes of the lines that workers write to stdout and stderr. The last ones are always kept for errors.
enum class worker_output {
    keep,  ///< nothing else
    /// Also written to the host's stderr, each line behind "[w0] ", or "[fork server] " during the import: of each
    /// process up to 1 MiB at once and 256 KiB per second, and nothing that would have to wait. What is left out is
    /// counted there.
    forward
};

/// How the workers are asked whether they are alive. A late answer of a worker that uses the processor in a call whose
/// caller still waits is no missed one.
struct heartbeat_options {
    std::chrono::milliseconds interval{2'000};       ///< from one question to the next. 10 ms to 1 hour
    std::chrono::milliseconds timeout{2'000};        ///< for the answer; then it is missed. 10 ms to 1 hour
    int max_missed = 3;                              ///< in a row; then the worker is ended. 1 to 1,000
    std::chrono::milliseconds initial_delay{1'000};  ///< before the first. 0 to 1 hour
    double jitter = 0.1;                             ///< part by which `interval` varies at random. 0 to 0.5
};

/** When a worker is replaced. Its successor is started first, takes the calls over, and then the old one finishes what
   it holds, within `drain_timeout`: no call fails, and there are never fewer workers. A limit of 0 is none. */
struct lifecycle_options {
    std::chrono::milliseconds max_age{0};       ///< 0, or 100 ms to 10,000 days
    std::uint64_t max_calls = 0;                ///< calls that it has ended
    std::uint64_t max_memory_bytes = 0;         ///< resident; not below what a worker has that is up and warm
    std::uint64_t max_memory_growth_bytes = 0;  ///< resident, beyond what it had when it was up and warm
    std::chrono::milliseconds max_latency{0};   ///< of its answers to the heartbeat, eight in a row; 0 to 1 hour
    double jitter = 0.1;                        ///< part by which a limit is shortened at random. 0 to 0.5
    int max_recycling = 1;                      ///< workers that are replaced at once. 1 to 1,000
};

/** When a pool grows from `workers.min` up to `workers.max`, and when it shrinks again.

    It doubles at most: no more workers are on their way than serve, and never more than eight. A worker that leaves
   gets no new calls and finishes what it holds, however long that takes. */
struct scaling_options {
    /// A call that has waited so long, in the queue or behind another call at its worker, while no worker is free
    /// brings more; noticed after at most twice the time. A pool without any worker adds one at once. 1 ms to 1 hour.
    std::chrono::milliseconds up_after{50};
    /// A worker that has had nothing to do for so long leaves, noticed after at most a quarter more. 10 ms to 24 hours.
    std::chrono::milliseconds down_after{30'000};
};

/** Workers of another kind beside the pool's own, for the tools that say `@snakepit.tool(group="name")`: processes for
    what computes, say, and one process with an event loop for what waits, behind one `pool::execute`.

    A group has workers, a queue and priorities of its own, and is degraded alone. What it has not of its own here is
   the pool's: module, Python, sessions, timeouts, heartbeat, environment, and the limits of restarts, which count for
   each group by itself. A session is at home in each group with a worker of its own. */
struct group_options {
    /// As tools say it: 1 to 32 of a-z, A-Z, 0-9, "_" and "-", of which the first is a letter. Its workers are called
    /// "name-0" and so on.
    std::string name{};
    worker_count workers{};
    worker_profile profile = worker_profile::process;
    int threads_per_worker = 4;  ///< as in `pool_options`, as all that follow
    int max_concurrency = 100;
    std::size_t queue_limit = 10'000;
    int calls_per_worker = 64;
    std::string warmup{};  ///< one of the group's tools
    lifecycle_options lifecycle{};
    scaling_options scaling{};
};

/** Where traces and metrics go, by OTLP over gRPC (https://opentelemetry.io/docs/specs/otlp/).

    What is not said here is taken from the environment as OpenTelemetry has it
   (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/): OTEL_SDK_DISABLED,
   OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER ("otlp" or "none"),
   OTEL_TRACES_SAMPLER and _ARG, OTEL_EXPORTER_OTLP_ENDPOINT, _PROTOCOL (grpc), _HEADERS, _TIMEOUT, _COMPRESSION,
   _CERTIFICATE, _CLIENT_CERTIFICATE, _CLIENT_KEY, _INSECURE and their forms for TRACES and METRICS,
   OTEL_BSP_SCHEDULE_DELAY, _MAX_QUEUE_SIZE and _MAX_EXPORT_BATCH_SIZE, and OTEL_METRIC_EXPORT_INTERVAL. What cannot be
   understood there is told of (`happened::setting_ignored`, a warning in the log) and is as if it was not there; no
   start fails for it. Nothing is exported while no endpoint is named. */
struct telemetry_options {
    /// "http://host:4317" without, "https://host:4317" with TLS. Empty: $OTEL_EXPORTER_OTLP_ENDPOINT.
    std::string otlp_endpoint{};
    /// Empty: $OTEL_SERVICE_NAME, or the program's name.
    std::string service_name{};
    /// Beside those of $OTEL_RESOURCE_ATTRIBUTES, and before them.
    std::map<std::string, std::string> resource{};
    /// Part of the traces that begin here and are recorded; of those that come with a `traceparent` its own flag
    /// counts. 0 to 1. Nothing: $OTEL_TRACES_SAMPLER, or all.
    std::optional<double> sample_ratio{};
    /// Spans that wait to be exported; more are dropped and counted. 1 to 1,000,000.
    std::size_t max_queued_spans = 8'192;
    /// From one export of the metrics to the next. 0: $OTEL_METRIC_EXPORT_INTERVAL, or a minute. 100 ms to 24 hours.
    std::chrono::milliseconds metrics_interval{0};
};

/// One mistake in a `pool_options`.
struct option_mistake {
    std::string field;    ///< "workers.min", or "groups.io.workers.min"
    std::string value;    ///< what it was
    std::string allowed;  ///< what it may be
};

/** Everything that a pool can be told. Checked as a whole by `pool::start`, which reports all mistakes at once.

    @par Thread safety  a plain value; the pool keeps a copy */
struct pool_options {
    /// Import name of the user's module ("text_tools", "app.tools"). Required.
    std::string module{};
    /// The Python that runs the workers: a path or a name on PATH. Empty: the first that can import what a worker
    /// needs, of $SNAKEPIT_PYTHON, $VIRTUAL_ENV/bin/python, python3 on PATH, /usr/bin/python3.
    std::string python{};
    /// Directories put in front of Python's sys.path, in this order. Empty: the current directory.
    std::vector<std::string> python_path{};
    worker_count workers{};
    /// More workers, of other kinds; at most 16. A tool belongs to the group that it names, and to the pool's own
    /// workers if it names none or `group`. When a tool names a group that there is not, or no tool a group that there
    /// is, `start` fails with errc::invalid_options. Empty: what tools say of groups does not matter.
    std::vector<group_options> groups{};
    /// The name of the pool's own workers among `groups`, as in `group_options::name`. Empty: none.
    std::string group{};
    /// Calls that may wait for a worker. 0: none, a call finds a free place or fails with errc::queue_full. At most
    /// 10,000,000. An eighth of it (from a limit of 4 on) is kept for each `priority` that has been used, so that a
    /// flood of one leaves the others their places.
    std::size_t queue_limit = 10'000;
    /// Calls outstanding at one worker at once, the running one included, at most. 1 to 4,096. How many there are
    /// follows from what the tools have taken so far and from the way to the worker and back: some dozens for tools of
    /// microseconds, which keeps frames full, none behind a slow one (`worker_stats::credit`). What has not begun when
    /// a worker turns out to be slow is taken back and given to others.
    int calls_per_worker = 64;
    worker_profile profile = worker_profile::process;
    /// With worker_profile::thread: calls that a worker runs at once. 1 to 256. A worker holds as many calls at least,
    /// whatever `calls_per_worker` says.
    int threads_per_worker = 4;
    /// With worker_profile::async: calls that a worker runs at once. 1 to 4,096. A worker holds as many calls at least,
    /// whatever `calls_per_worker` says.
    int max_concurrency = 100;
    /// What the module makes while it is imported is copied to each worker by a fork; `@snakepit.after_fork` is for
    /// what cannot be shared. A module that leaves threads running cannot be forked: its workers are spawned instead,
    /// and `pool_stats::start_method_reason` says so.
    snakepit::start_method start_method = snakepit::start_method::fork;
    /// A tool that every new worker runs before it gets calls, at the start of the pool, when it is started again and
    /// when it replaces another: a first call that loads a model, say. Called without arguments, outside of any call
    /// (`snakepit.current_call()` raises); what it returns is dropped. When there is no such tool `start` fails with
    /// errc::invalid_options, when it raises with errc::module_failed, and when it takes too long with
    /// errc::start_timeout. Limits of memory count from what a worker has behind it. Empty: none.
    std::string warmup{};
    /// Longest time from starting a worker to its hello, the import of the module and `warmup` included; with
    /// start_method::fork the one import has as long for itself. 100 ms to 1 hour.
    std::chrono::milliseconds start_timeout{30'000};
    /// How long `pool::stop` lets running calls finish. 0: not at all. At most 24 hours.
    std::chrono::milliseconds drain_timeout{10'000};
    /// How long each later step of the stop ladder (asked to stop, SIGTERM) may take before the next. 1 ms to 10 min.
    std::chrono::milliseconds stop_grace{2'000};
    /// Wait before a worker that died is started again: doubles from `first` to `longest`, with jitter of a quarter,
    /// and begins anew once a worker has been up for `longest`. 1 ms to 1 hour, first not above longest.
    struct {
        std::chrono::milliseconds first{5};
        std::chrono::milliseconds longest{5'000};
    } restart_backoff{};
    /// How long a call that was cancelled or whose time is over may go on in Python: then its worker is ended. Of one
    /// that runs several calls at once the others may finish first, within the same time again and `drain_timeout`.
    /// 1 ms to 24 hours.
    std::chrono::milliseconds cancel_grace{5'000};
    heartbeat_options heartbeat{};
    lifecycle_options lifecycle{};
    scaling_options scaling{};
    session_options sessions{};
    /// How many restarts within `window` are too many: such a worker is out of service (`worker_state::dead`) and tried
    /// again every `restart_backoff.longest`; the pool is degraded meanwhile. What was planned (recycling, `stop`)
    /// never counts. 1 to 1,000,000 each; window 1 s to 24 hours.
    struct {
        int per_worker = 30;
        int per_pool = 150;
        std::chrono::seconds window{300};
        /// Workers, one after the other, that one tool has ended (by a crash, an exit, or for want of memory; not those
        /// that others have killed), with no reply of the tool between them. Then the tool is out of service
        /// (errc::tool_degraded), so that it takes no more workers from the others; one call is let through every
        /// `restart_backoff.longest`, and a reply brings it back. Calls that wait end when it is their turn.
        int per_tool = 20;
    } restart_limit{};
    /// Variables set in the workers' environment, on top of the host's. OMP_NUM_THREADS and its kind are set to the
    /// processors' share of one of `workers.max` workers unless the host or this map sets them.
    std::map<std::string, std::string> environment{};
    /// Largest value, encoded, either way. 1 KiB to 1 GiB.
    std::size_t max_message_bytes = std::size_t{64} << 20;
    /// A directory for the pool's socket and its ledger that belongs to this user and nobody else may enter; made when
    /// it does not exist. Empty: a new one below $XDG_RUNTIME_DIR or the temporary directory, removed at the end. What
    /// a killed host has left is ended and removed by the next start of this user: in a directory that was named by
    /// the next pool that names it.
    std::string socket_directory{};
    lane_kind lane = lane_kind::automatic;
    worker_output output = worker_output::keep;
    telemetry_options telemetry{};
    log_options log{};
    /// Whether calls and events are counted for `pool::metrics` and OTLP. It costs a call about a microsecond.
    bool metrics = true;
    /// Where Prometheus may scrape the pool's metrics (`pool::metrics`) as /metrics: "127.0.0.1:9464", port 0 for any
    /// that is free (`pool_stats::metrics_port`). Nobody is asked for a password there. Empty: nowhere.
    /// Empty when `metrics` is false.
    std::string metrics_listen{};
    /// A call that has run for so long in its tool is told of once, with its Python stack: `happened::call_slow`, and a
    /// warning in the log. 0: none is. 1 ms to 24 hours.
    std::chrono::milliseconds slow_call_threshold{0};
    /// A socket beside the pool's own for `snakepit status` and its kind, which this user alone may open. It obeys who
    /// can open it.
    bool admin_socket = true;

    /// Every mistake; empty when there is none.
    [[nodiscard]] SNAKEPIT_API std::vector<option_mistake> mistakes() const;
};

/** How urgent a call is. While calls of several classes wait for a worker, of 21 that get a place 16 are interactive, 4
    normal and 1 batch; within a class first come, first served, unless the first one has waited for longer than it has
    time left: then the newest is next, and a full queue gives up late calls for fresh ones. */
enum class priority : std::uint8_t {
    interactive,  ///< somebody waits for the answer
    normal,
    /// Has time. While interactive calls come (the last one within a second) batch calls of slow tools leave the last
    /// free worker to others, unless no batch call has a worker; and fewer batch calls are given to a worker in
    /// advance.
    batch
};

[[nodiscard]] constexpr std::string_view to_string(priority p) noexcept {
    switch (p) {
        case priority::interactive: return "interactive";
        case priority::normal: return "normal";
        case priority::batch: return "batch";
    }
    return "unknown";
}

/// How one call is to be made. A class with setters, not an aggregate: g++ 12 destroys aggregate temporaries in a
/// co_await expression twice.
class call_options {
public:
    /// "No limit" for `timeout`.
    static constexpr std::chrono::steady_clock::duration no_timeout{0};

    call_options() {}  // not defaulted: that would make it an aggregate-like temporary again

    /// Longest time until the reply: queue, wire and Python together. Zero: no limit. Default 30 s. A negative time
    /// fails with errc::deadline_exceeded at once.
    call_options& timeout(std::chrono::steady_clock::duration d) {
        timeout_ = d;
        return *this;
    }
    /// Key of the session that the tool sees as `current_call().session`; UTF-8, at most 200 bytes. Empty: none.
    call_options& session(std::string key) {
        session_ = std::move(key);
        return *this;
    }
    /// Which worker runs the call, when it has a session. Default: `session_options::affinity`.
    call_options& affinity(snakepit::affinity a) {
        affinity_ = a;
        return *this;
    }

    /** How urgent it is. Default: normal. Calls of a strict session that wait for its worker keep their order whatever
        they say; a call that a host tool makes goes ahead of all that wait. */
    call_options& priority(snakepit::priority p) {
        priority_ = p;
        return *this;
    }

    /** To run the tool twice does no harm, as `@snakepit.tool(idempotent=True)` says for a tool. If the worker dies
       while it runs the call, the call is run again by another, once, and within the pool's budget for that: ten at
       first, and a tenth of the calls that are let in. Default: what the tool says. */
    call_options& idempotent(bool it_is = true) {
        idempotent_ = it_is;
        return *this;
    }

    /** If the call has not ended after so long, it is made a second time, by another worker that is free: the first
        reply counts, and the other attempt is cancelled. For idempotent tools and calls; any other fails with
        errc::bad_arguments. Second attempts come out of the same budget as calls that are run again; without a free
        worker or budget there is none. They count as calls of their own in `call_stats`. Not for streams. Zero, the
        default, and less: never. */
    call_options& hedge_after(std::chrono::milliseconds d) {
        hedge_after_ = d;
        return *this;
    }

    /** The trace that the call belongs to: a W3C `traceparent` header (https://www.w3.org/TR/trace-context/, version 00
        or later). The tool sees it as `current_call().traceparent`, host tools as `host_call::traceparent()`, and calls
        that they make on the pool have it too unless they are given another. As that standard asks for, one that is not
        valid is as if it was not there, and its `tracestate` with it: no call fails for a header that a client has
       sent. Empty: none. */
    call_options& traceparent(std::string header) {
        traceparent_ = std::move(header);
        return *this;
    }
    /// The `tracestate` header that belongs to `traceparent`: printable ASCII, at most 512 bytes, or it is left out.
    call_options& tracestate(std::string header) {
        tracestate_ = std::move(header);
        return *this;
    }

    [[nodiscard]] std::chrono::steady_clock::duration timeout() const noexcept { return timeout_; }
    [[nodiscard]] const std::string& session() const noexcept { return session_; }
    [[nodiscard]] std::chrono::milliseconds hedge_after() const noexcept { return hedge_after_; }
    [[nodiscard]] const std::string& traceparent() const noexcept { return traceparent_; }
    [[nodiscard]] const std::string& tracestate() const noexcept { return tracestate_; }
    /// Nothing: what the pool says.
    [[nodiscard]] std::optional<snakepit::affinity> affinity() const noexcept { return affinity_; }
    [[nodiscard]] snakepit::priority priority() const noexcept { return priority_; }
    /// Nothing: what the tool says.
    [[nodiscard]] std::optional<bool> is_idempotent() const noexcept { return idempotent_; }

private:
    std::chrono::steady_clock::duration timeout_ = std::chrono::seconds(30);
    std::chrono::milliseconds hedge_after_{0};
    std::string session_;
    std::string traceparent_;
    std::string tracestate_;
    std::optional<bool> idempotent_;
    std::optional<snakepit::affinity> affinity_;
    snakepit::priority priority_ = snakepit::priority::normal;
};

}  // namespace snakepit
