#include "telemetry/stats_metrics.hpp"

#include "process/process_facts.hpp"

#include <snakepit/version.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace snakepit::detail {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using labels = std::vector<ClientMetric::Label>;

double seconds(std::chrono::microseconds time) { return std::chrono::duration<double>(time).count(); }

/// A name, its words, and where its value comes from; nothing: there is none at the moment.
template <class From>
struct row {
    const char* name;
    MetricType type;
    const char* help;
    std::optional<double> (*value)(const From&);
};

template <class T>
std::optional<double> number(T n) {
    return static_cast<double>(n);
}

/// A worker with its process.
struct seen_worker {
    explicit seen_worker(const worker_stats& s) : stats(s) {
        if (s.pid == 0) return;
        process = facts_of(s.pid);
        if (const auto bytes = resident_bytes_of(s.pid); bytes > 0) resident_bytes = bytes;
        descriptors = open_descriptors_of(s.pid);
    }

    const worker_stats& stats;
    std::optional<process_facts> process;
    std::optional<std::uint64_t> resident_bytes;
    std::optional<std::size_t> descriptors;
};

constexpr std::array of_pool{
    row<pool_stats>{"snakepit_sessions", MetricType::Gauge, "Sessions that there are; 0 with a backend of your own.",
                    [](const pool_stats& s) { return number(s.sessions); }},
    row<pool_stats>{"snakepit_draining", MetricType::Gauge, "1 while an operator lets no calls in.",
                    [](const pool_stats& s) { return number(s.draining); }},
    row<pool_stats>{"snakepit_refused_connections_total", MetricType::Counter,
                    "Peers at the pool's socket that were no awaited workers and were turned away.",
                    [](const pool_stats& s) { return number(s.refused_connections); }},
    row<pool_stats>{"snakepit_spans_exported_total", MetricType::Counter, "Spans of traces exported by OTLP.",
                    [](const pool_stats& s) { return number(s.spans_exported); }},
    row<pool_stats>{"snakepit_spans_dropped_total", MetricType::Counter,
                    "Spans of traces that could not be exported and were given up.",
                    [](const pool_stats& s) { return number(s.spans_dropped); }},
};

constexpr std::array of_group{
    row<group_stats>{"snakepit_group_degraded", MetricType::Gauge,
                     "1 while a worker or tool of the group is out of service.",
                     [](const group_stats& s) { return number(!s.degraded.empty()); }},
    row<group_stats>{"snakepit_calls_submitted_total", MetricType::Counter, "Calls that were let in: queued or sent.",
                     [](const group_stats& s) { return number(s.submitted); }},
    row<group_stats>{"snakepit_calls_refused_total", MetricType::Counter,
                     "Calls never let in: the queue was full, or their tool out of service.",
                     [](const group_stats& s) { return number(s.refused); }},
    row<group_stats>{"snakepit_calls_in_flight", MetricType::Gauge, "Calls sent to workers whose callers wait.",
                     [](const group_stats& s) { return number(s.in_flight); }},
    row<group_stats>{"snakepit_calls_moved_total", MetricType::Counter,
                     "Times a call went to another worker because its own died before it had begun it.",
                     [](const group_stats& s) { return number(s.moved); }},
    row<group_stats>{"snakepit_calls_recalled_total", MetricType::Counter,
                     "Times a call was taken back from a slow worker that had not begun it.",
                     [](const group_stats& s) { return number(s.recalled); }},
    row<group_stats>{"snakepit_calls_recovered_total", MetricType::Counter,
                     "Calls whose reply was found after the death of their worker.",
                     [](const group_stats& s) { return number(s.recovered); }},
    row<group_stats>{"snakepit_calls_retried_total", MetricType::Counter,
                     "Idempotent calls run again after the death of their worker.",
                     [](const group_stats& s) { return number(s.retried); }},
    row<group_stats>{"snakepit_calls_hedged_total", MetricType::Counter,
                     "Second attempts of slow calls; each counts as a call too.",
                     [](const group_stats& s) { return number(s.hedged); }},
    row<group_stats>{"snakepit_late_replies_total", MetricType::Counter, "Replies whose callers had gone.",
                     [](const group_stats& s) { return number(s.late_replies); }},
    row<group_stats>{"snakepit_queue_oldest_wait_seconds", MetricType::Gauge,
                     "For how long the first call of the queue has waited; 0: none waits.",
                     [](const group_stats& s) { return std::optional(seconds(s.waits.waiting)); }},
    row<group_stats>{"snakepit_frames_sent_total", MetricType::Counter, "Frames to workers.",
                     [](const group_stats& s) { return number(s.frames_sent); }},
    row<group_stats>{"snakepit_frames_received_total", MetricType::Counter, "Frames from workers.",
                     [](const group_stats& s) { return number(s.frames_received); }},
    row<group_stats>{"snakepit_calls_sent_total", MetricType::Counter,
                     "Calls in the frames to workers; one that had to be sent again counts again.",
                     [](const group_stats& s) { return number(s.calls_sent); }},
    row<group_stats>{"snakepit_replies_received_total", MetricType::Counter, "Replies in the frames from workers.",
                     [](const group_stats& s) { return number(s.replies_received); }},
    row<group_stats>{"snakepit_sent_bytes_total", MetricType::Counter, "Size of the frames to workers, about.",
                     [](const group_stats& s) { return number(s.bytes_sent); }},
    row<group_stats>{"snakepit_received_bytes_total", MetricType::Counter, "Size of the frames from workers.",
                     [](const group_stats& s) { return number(s.bytes_received); }},
};

constexpr std::array of_worker{
    row<seen_worker>{"snakepit_worker_outstanding_calls", MetricType::Gauge, "Calls sent to the worker and not ended.",
                     [](const seen_worker& w) { return number(w.stats.outstanding); }},
    row<seen_worker>{"snakepit_worker_calls_total", MetricType::Counter,
                     "Calls that all incarnations of the worker have ended.",
                     [](const seen_worker& w) { return number(w.stats.total_calls); }},
    row<seen_worker>{"snakepit_worker_credit", MetricType::Gauge, "Calls that the worker would be given at once.",
                     [](const seen_worker& w) { return number(w.stats.credit); }},
    row<seen_worker>{"snakepit_worker_heartbeat_latency_seconds", MetricType::Gauge,
                     "From ping to pong, moving average of this incarnation; 0: none yet.",
                     [](const seen_worker& w) { return std::optional(seconds(w.stats.heartbeat.latency)); }},
    row<seen_worker>{"snakepit_worker_missed_heartbeats_total", MetricType::Counter,
                     "Pongs of this incarnation that were overdue without a reason.",
                     [](const seen_worker& w) { return number(w.stats.heartbeat.missed); }},
    row<seen_worker>{"snakepit_worker_busy_heartbeats_total", MetricType::Counter,
                     "Pongs of this incarnation that were overdue while a call used the processor.",
                     [](const seen_worker& w) { return number(w.stats.heartbeat.busy); }},
    row<seen_worker>{"snakepit_worker_age_seconds", MetricType::Gauge, "Time since the start of this incarnation.",
                     [](const seen_worker& w) { return std::optional(seconds(w.stats.age)); }},
    row<seen_worker>{"snakepit_worker_resident_memory_bytes", MetricType::Gauge, "Resident memory of the process.",
                     [](const seen_worker& w) { return w.resident_bytes ? number(*w.resident_bytes) : std::nullopt; }},
    row<seen_worker>{
        "snakepit_worker_cpu_seconds_total", MetricType::Counter,
        "Processor time that the process has used, user and system.",
        [](const seen_worker& w) { return w.process ? std::optional(seconds(w.process->cpu)) : std::nullopt; }},
    row<seen_worker>{"snakepit_worker_open_fds", MetricType::Gauge, "Open file descriptors of the process.",
                     [](const seen_worker& w) { return w.descriptors ? number(*w.descriptors) : std::nullopt; }},
    row<seen_worker>{"snakepit_worker_threads", MetricType::Gauge, "Threads of the process.",
                     [](const seen_worker& w) { return w.process ? number(w.process->threads) : std::nullopt; }},
};

class families {
public:
    void open(const char* name, MetricType type, const char* help) { all.push_back({name, help, type, {}}); }
    /// To the one that was opened last.
    void add(labels of, double value) {
        auto& m = all.back().metric.emplace_back();
        m.label = std::move(of);
        if (all.back().type == MetricType::Counter) m.counter.value = value;
        else m.gauge.value = value;
    }
    /// @param labels_of  of one of `from`
    template <class Rows, class From, class Label>
    void add_rows(const Rows& rows, const From& from, Label labels_of) {
        for (const auto& r : rows) {
            open(r.name, r.type, r.help);
            for (const auto& one : from)
                if (const auto value = r.value(one)) add(labels_of(one), *value);
        }
    }

    std::vector<MetricFamily> all;
};

constexpr std::array every_state{worker_state::booting,          worker_state::ready,     worker_state::executing,
                                 worker_state::missed_heartbeat, worker_state::recycling, worker_state::stopping,
                                 worker_state::restarting,       worker_state::dead};

/// Each state of each group, so that none is there now and gone then.
void add_states(families& to, const pool_stats& stats) {
    std::map<std::pair<std::string_view, worker_state>, int> counts;
    for (const auto& g : stats.groups)
        for (const auto s : every_state) counts[{g.name, s}] = 0;
    for (const auto& w : stats.workers) ++counts[{w.group, w.state}];
    to.open("snakepit_workers", MetricType::Gauge, "Workers by their state.");
    for (const auto& [of, count] : counts)
        to.add({{"group", std::string(of.first)}, {"state", std::string(to_string(of.second))}}, count);
}

/// By which way calls go to each worker, and what its garbage collector has done.
void add_workers(families& to, const pool_stats& stats) {
    const auto labels_of = [](const worker_stats& w, const char* name, std::string value) {
        return labels{{"worker", w.id}, {"group", w.group}, {name, std::move(value)}};
    };
    to.open("snakepit_worker_lane", MetricType::Gauge, "Always 1; the lane by which its calls go is a label.");
    for (const auto& w : stats.workers)
        if (!w.lane.empty()) to.add(labels_of(w, "lane", w.lane), 1);
    const auto add_gc = [&](const char* name, const char* help, std::uint64_t gc_stats::* what) {
        to.open(name, MetricType::Counter, help);
        for (const auto& w : stats.workers)
            for (std::size_t i = 0; w.heartbeat.gc && i < w.heartbeat.gc->size(); ++i)
                to.add(labels_of(w, "generation", std::to_string(i)), static_cast<double>((*w.heartbeat.gc)[i].*what));
    };
    add_gc("snakepit_worker_gc_collections_total", "Runs of the incarnation's garbage collector, by generation.",
           &gc_stats::collections);
    add_gc("snakepit_worker_gc_collected_objects_total", "Objects that they have freed.", &gc_stats::collected);
    add_gc("snakepit_worker_gc_uncollectable_objects_total", "Objects that they could not free.",
           &gc_stats::uncollectable);
}

void add_queues(families& to, const pool_stats& stats, const queue_limits& limits) {
    to.open("snakepit_queue_calls", MetricType::Gauge, "Calls that wait for a worker, by priority.");
    for (const auto& g : stats.groups) {
        const auto add = [&](priority p, std::size_t calls) {
            to.add({{"group", g.name}, {"priority", std::string(to_string(p))}}, static_cast<double>(calls));
        };
        add(priority::interactive, g.queued_interactive);
        add(priority::normal, g.queued_normal);
        add(priority::batch, g.queued_batch);
    }
    to.open("snakepit_queue_limit", MetricType::Gauge, "Calls that may wait, as the options say.");
    for (const auto& [group, limit] : limits) to.add({{"group", group}}, static_cast<double>(limit));
}

}  // namespace

std::vector<MetricFamily> metrics_of(const pool_stats& stats, const queue_limits& limits) {
    families to;
    to.open("snakepit_build_info", MetricType::Gauge, "Always 1; the version of the library is its label.");
    to.add({{"version", SNAKEPIT_VERSION}}, 1);
    to.add_rows(of_pool, std::array{stats}, [](const pool_stats&) { return labels(); });
    to.add_rows(of_group, stats.groups, [](const group_stats& g) { return labels{{"group", g.name}}; });
    add_queues(to, stats, limits);
    add_states(to, stats);
    const std::vector<seen_worker> seen(stats.workers.begin(), stats.workers.end());
    to.add_rows(of_worker, seen,
                [](const seen_worker& w) { return labels{{"worker", w.stats.id}, {"group", w.stats.group}}; });
    add_workers(to, stats);
    std::erase_if(to.all, [](const MetricFamily& f) { return f.metric.empty(); });
    return std::move(to.all);
}

}  // namespace snakepit::detail
