#include "telemetry/metrics.hpp"

#include "error/names.hpp"
#include "telemetry/time_tally.hpp"

#include <absl/container/flat_hash_map.h>
#include <absl/container/node_hash_map.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <variant>

namespace snakepit::detail {
namespace {

using prometheus::Counter;
using prometheus::Histogram;
using prometheus::Labels;

const Histogram::BucketBoundaries heartbeat_buckets{100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3,
                                                    25e-3,  50e-3,  0.1,    0.25, 0.5,    1,    5};

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

/// A name as callers and workers say it finds its entry without a copy.
struct text_hash : absl::Hash<std::pair<std::string_view, std::string_view>> {
    using is_transparent = void;
};
struct text_equal {
    using is_transparent = void;
    using view = std::pair<std::string_view, std::string_view>;
    bool operator()(const view& a, const view& b) const { return a == b; }
};
/// Two names: those of a tool and its group, say.
using names = std::pair<std::string, std::string>;
template <class T>
using by_names = absl::flat_hash_map<names, T, text_hash, text_equal>;
/// The same, whose entries stay where they are.
template <class T>
using kept_by_names = absl::node_hash_map<names, T, text_hash, text_equal>;

prometheus::Family<Counter>& counter(prometheus::Registry& in, const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(in);
}
prometheus::Family<Histogram>& histogram(prometheus::Registry& in, const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(in);
}

/// How an incarnation has ended: one of a few words.
const char* manner_of(const happened::worker_ended& e) {
    const auto* exit = e.why.exit();
    if (!exit) return "unknown";
    if (!exit->out_of_memory.empty()) return "out_of_memory";
    if (exit->signal > 0) return "signal";
    return exit->code >= 0 ? "exit" : "unknown";
}

constexpr std::array every_reason{recycle_reason::asked,  recycle_reason::age,           recycle_reason::calls,
                                  recycle_reason::memory, recycle_reason::memory_growth, recycle_reason::latency};

constexpr std::array every_restart_reason{
    restart_reason::no_start, restart_reason::exit,         restart_reason::signal,     restart_reason::out_of_memory,
    restart_reason::silent,   restart_reason::cancel_grace, restart_reason::connection, restart_reason::protocol};

/// Outcomes of calls that were sent to no worker because there was too much to do, or too little hope.
constexpr std::array<std::string_view, 3> shed_reasons{"queue_full", "deadline_exceeded", "tool_degraded"};

}  // namespace

/** What events add to. What calls add gathers here until somebody reads.

    @par Thread safety  every member from any thread */
class pool_metrics::counts final : public call_listener {
public:
    explicit counts(bool rpc) {
        if (!rpc) return;
        client_ = &histogram(registry_, "rpc_client_call_duration_seconds",
                             "rpc.client.call.duration of OpenTelemetry's conventions: from a call to its outcome.");
        server_ = &histogram(registry_, "rpc_server_call_duration_seconds",
                             "rpc.server.call.duration of OpenTelemetry's conventions: in the tool, in Python.");
    }
    void count(const event& e) {
        const std::lock_guard lock(mutex_);
        std::visit([this](const auto& what) { on(what); }, e.what);
    }
    void ended(const happened::call_ended& e) override {
        const std::lock_guard lock(mutex_);
        on(e);
    }
    [[nodiscard]] std::vector<prometheus::MetricFamily> collect() {
        std::vector<tool_series*> all;  // none ever goes
        {
            const std::lock_guard lock(mutex_);
            for (auto& [of, series] : tools_) all.push_back(&series);
        }
        for (auto* series : all) {  // one after the other: calls wait
            const std::lock_guard lock(mutex_);
            series->move_on();
        }
        return registry_.Collect();
    }

private:
    /// Times that go to a histogram; null: it is not wanted.
    struct times {
        Histogram* to = nullptr;
        time_tally gathered{};

        void add(std::chrono::nanoseconds time) noexcept {
            if (to) gathered.add(time);
        }
        void move_on() {
            if (to) gathered.move_to(*to);
        }
    };
    struct outcome_series {
        std::string name;
        Counter* to;
        std::uint64_t calls = 0;  // that `to` does not have yet
        times client{};
        times server{};
    };
    struct tool_series {
        times queued;
        times running;
        times total;
        std::vector<outcome_series> outcomes{};  // "ok" and a few more: a search is quick

        void move_on() {
            for (auto* t : {&queued, &running, &total}) t->move_on();
            for (auto& o : outcomes) {
                o.to->Increment(static_cast<double>(std::exchange(o.calls, 0)));
                o.client.move_on();
                o.server.move_on();
            }
        }
    };
    struct group_series {
        Histogram* heartbeats;
        Counter* silences;
        Counter* blocked;
        Counter* slow;
        std::array<Counter*, shed_reasons.size()> shed;
    };

    tool_series& series_of(std::string_view tool, const std::string& group) {
        if (newest_ && text_equal()(newest_->first, text_equal::view(tool, group)))
            return newest_->second;  // mostly so
        auto known = tools_.find(text_equal::view(tool, group));
        if (known == tools_.end()) {
            const Labels labels{{"tool", std::string(tool)}, {"group", group}};
            const auto times_of = [&](auto& family) { return times{&family.Add(labels, time_tally::boundaries())}; };
            const tool_series made{times_of(queued_), times_of(running_), times_of(total_)};
            known = tools_.emplace(names(tool, group), made).first;
        }
        newest_ = &*known;
        return known->second;
    }
    outcome_series& series_of(tool_series& of, const happened::call_ended& e, std::string_view tool) {
        for (auto& known : of.outcomes)
            if (known.name == e.outcome) return known;
        outcome_series made{e.outcome,
                            &calls_.Add({{"tool", std::string(tool)}, {"group", e.group}, {"outcome", e.outcome}})};
        if (client_) {
            const Labels labels{{"rpc_system_name", "snakepit"},
                                {"rpc_method", std::string(tool)},
                                {"rpc_status_code", e.outcome},
                                {"error_type", e.outcome == "ok" ? std::string() : e.outcome},
                                {"group", e.group}};
            made.client.to = &client_->Add(labels, time_tally::boundaries());
            made.server.to = &server_->Add(labels, time_tally::boundaries());
        }
        return of.outcomes.emplace_back(std::move(made));
    }
    /// All of it is there from the first worker on, as zeros: the first restart is to be seen as an increase.
    group_series& series_of_group(const std::string& group) {
        if (const auto known = groups_.find(text_equal::view(group, "")); known != groups_.end()) return known->second;
        const Labels labels{{"group", group}};
        for (const auto r : every_reason) recycles_.Add({{"group", group}, {"reason", std::string(to_string(r))}});
        for (const auto r : every_restart_reason)
            restarts_.Add({{"group", group}, {"reason", std::string(to_string(r))}});
        for (const char* how : {"exit", "signal", "out_of_memory", "unknown"})
            for (const char* planned : {"true", "false"})
                ends_.Add({{"group", group}, {"how", how}, {"planned", planned}});
        for (const char* stream : {"stdout", "stderr", "logging"})
            dropped_lines_.Add({{"group", group}, {"stream", stream}});
        group_series made{&heartbeats_.Add(labels, heartbeat_buckets),
                          &silences_.Add(labels),
                          &blocked_.Add(labels),
                          &slow_.Add(labels),
                          {}};
        for (std::size_t i = 0; i < shed_reasons.size(); ++i)
            made.shed[i] = &shed_.Add({{"group", group}, {"reason", std::string(shed_reasons[i])}});
        return groups_.emplace(std::pair(group, std::string()), made).first->second;
    }
    [[nodiscard]] const std::string& group_of(const std::string& worker) const {
        static const std::string none;
        const auto known = workers_.find(text_equal::view(worker, ""));
        return known == workers_.end() ? none : known->second;
    }

    void on(const happened::worker_hired& e) {
        workers_.insert_or_assign(std::pair(e.worker, std::string()), e.group);
        series_of_group(e.group);
    }
    void on(const happened::worker_left& e) {
        if (const auto known = workers_.find(text_equal::view(e.worker, "")); known != workers_.end())
            workers_.erase(known);
    }
    void on(const happened::worker_ended& e) {
        ends_.Add({{"group", group_of(e.worker)}, {"how", manner_of(e)}, {"planned", e.planned ? "true" : "false"}})
            .Increment();
    }
    void on(const happened::worker_restarting& e) {
        restarts_.Add({{"group", group_of(e.worker)}, {"reason", std::string(to_string(e.reason))}}).Increment();
    }
    void on(const happened::worker_recycled& e) {
        recycles_.Add({{"group", group_of(e.worker)}, {"reason", std::string(to_string(e.reason))}}).Increment();
    }
    void on(const happened::heartbeat_answered& e) {
        series_of_group(group_of(e.worker)).heartbeats->Observe(seconds(e.latency));
    }
    void on(const happened::worker_moved& e) {
        if (e.to == worker_state::missed_heartbeat) series_of_group(group_of(e.worker)).silences->Increment();
    }
    void on(const happened::loop_blocked& e) {
        if (!e.stack.empty()) series_of_group(group_of(e.worker)).blocked->Increment();  // else it turns again
    }
    void on(const happened::output_dropped& e) {
        dropped_lines_.Add({{"group", group_of(e.worker)}, {"stream", e.stream}})
            .Increment(static_cast<double>(e.lines));
    }
    /// Not by tool: its name is the worker's word alone.
    void on(const happened::call_slow& e) { series_of_group(group_of(e.worker)).slow->Increment(); }
    void on(const happened::tool_degraded& e) { broken_.Add({{"tool", e.tool}, {"group", e.group}}).Set(1); }
    void on(const happened::tool_recovered& e) { broken_.Add({{"tool", e.tool}, {"group", e.group}}).Set(0); }
    void on(const happened::call_ended& e) {
        const bool was_sent = !e.attempts.empty();
        const bool is_ok = e.outcome == "ok";
        const std::string_view tool = is_ok || is_known(e) ? std::string_view(e.tool) : std::string_view();
        auto& series = series_of(tool, e.group);
        auto& outcome = series_of(series, e, tool);
        ++outcome.calls;
        if (!is_ok && !was_sent) count_shed(e);
        const bool has_run = was_sent && (is_ok || e.running.count() > 0);
        const auto total = e.ended - e.submitted;
        outcome.client.add(total);
        if (has_run) outcome.server.add(e.running);
        if (!was_sent && e.outcome != "deadline_exceeded" && e.outcome != "cancelled") return;  // refused at once
        series.queued.add(e.queued);
        series.total.add(total);
        if (has_run) series.running.add(e.running);
    }
    /// Whether there is such a tool: of a call that was refused before its tool was looked for the name may be
    /// anything.
    [[nodiscard]] bool is_known(const happened::call_ended& e) const {
        if (e.outcome == "unknown_tool") return false;
        const bool was_found = !e.attempts.empty() || e.outcome == "queue_full" || e.outcome == "tool_degraded";
        return was_found || tools_.contains(text_equal::view(e.tool, e.group));
    }
    void count_shed(const happened::call_ended& e) {
        const auto reason = std::ranges::find(shed_reasons, e.outcome);
        if (reason != shed_reasons.end())
            series_of_group(e.group).shed[static_cast<std::size_t>(reason - shed_reasons.begin())]->Increment();
    }
    template <class Other>
    void on(const Other&) {}

    std::mutex mutex_;
    prometheus::Registry registry_;
    prometheus::Family<Counter>& calls_ =
        counter(registry_, "snakepit_calls_total",
                "Calls that have ended, by outcome: ok, or the name of an errc. Without a tool: it was not found, or "
                "the call was refused before it was looked for.");
    prometheus::Family<Histogram>& queued_ =
        histogram(registry_, "snakepit_call_queue_seconds", "How long calls have waited for a place at a worker.");
    prometheus::Family<Histogram>& running_ =
        histogram(registry_, "snakepit_call_service_seconds", "How long calls have run in their tool, in Python.");
    prometheus::Family<Histogram>& total_ = histogram(registry_, "snakepit_call_duration_seconds",
                                                      "From a call to its outcome: queue, wire and Python together.");
    prometheus::Family<Counter>& slow_ =
        counter(registry_, "snakepit_slow_calls_total", "Calls that have run for longer than slow_call_threshold.");
    prometheus::Family<Counter>& restarts_ =
        counter(registry_, "snakepit_worker_restarts_total", "Starts of workers that had died, by reason.");
    prometheus::Family<Counter>& recycles_ =
        counter(registry_, "snakepit_worker_recycles_total", "Times a successor took over, by reason.");
    prometheus::Family<Counter>& ends_ = counter(registry_, "snakepit_worker_ends_total",
                                                 "Incarnations of workers that have ended: how, and on demand?");
    prometheus::Family<Histogram>& heartbeats_ =
        histogram(registry_, "snakepit_heartbeat_latency_seconds", "From ping to pong.");
    prometheus::Family<Counter>& silences_ =
        counter(registry_, "snakepit_worker_silences_total", "Times a worker began to leave heartbeats unanswered.");
    prometheus::Family<Counter>& blocked_ = counter(registry_, "snakepit_blocked_loops_total",
                                                    "Times a worker's event loop did not turn because a tool held it.");
    prometheus::Family<Counter>& dropped_lines_ =
        counter(registry_, "snakepit_output_dropped_lines_total",
                "Lines and log records of workers that came too fast and were left out.");
    prometheus::Family<Counter>& shed_ =
        counter(registry_, "snakepit_calls_shed_total",
                "Calls that no worker was given, by reason: the queue was full, their time was over while they waited, "
                "or their tool is out of service.");
    prometheus::Family<prometheus::Gauge>& broken_ =
        prometheus::BuildGauge()
            .Name("snakepit_tool_degraded")
            .Help(
                "1 while a tool is out of service because it has ended one worker after the other; 0 since it is not.")
            .Register(registry_);
    prometheus::Family<Histogram>* client_ = nullptr;  // null: OpenTelemetry's are not wanted
    prometheus::Family<Histogram>* server_ = nullptr;
    kept_by_names<tool_series> tools_;
    kept_by_names<tool_series>::value_type* newest_ = nullptr;
    by_names<group_series> groups_;  // the second name is empty here, and in the next
    by_names<std::string> workers_;  // their groups
};

pool_metrics::pool_metrics(event_bus& bus, std::function<pool_stats()> stats, queue_limits limits, bool rpc)
    : stats_(std::move(stats)),
      limits_(std::move(limits)),
      counts_(std::make_unique<counts>(rpc)),
      subscription_(bus.subscribe(
          event_filter::only<happened::worker_hired, happened::worker_left, happened::worker_ended,
                             happened::worker_restarting, happened::worker_recycled, happened::heartbeat_answered,
                             happened::worker_moved, happened::loop_blocked, happened::output_dropped,
                             happened::call_slow, happened::tool_degraded, happened::tool_recovered>(),
          [to = counts_.get()](const event& e) { to->count(e); })),
      listening_(bus.listen(*counts_)) {}

pool_metrics::~pool_metrics() = default;

std::vector<prometheus::MetricFamily> pool_metrics::collect() const {
    auto all = metrics_of(stats_(), limits_);
    std::ranges::move(counts_->collect(), std::back_inserter(all));
    std::ranges::sort(all, {}, &prometheus::MetricFamily::name);
    return all;
}

std::string pool_metrics::text() const { return prometheus::TextSerializer().Serialize(collect()); }

queue_limits queue_limits_of(const pool_options& options) {
    queue_limits all{{options.group, options.queue_limit}};
    for (const auto& g : options.groups) all.emplace_back(g.name, g.queue_limit);
    return all;
}

}  // namespace snakepit::detail
