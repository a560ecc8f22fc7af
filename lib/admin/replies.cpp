#include "admin/replies.hpp"

#include "admin/stats_json.hpp"
#include "pool/limits.hpp"
#include "pool/pool_impl.hpp"
#include "telemetry/rfc3339.hpp"

#include <snakepit/version.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <map>
#include <string>
#include <string_view>

namespace snakepit::detail::admin {
namespace {

struct head_count {
    std::size_t all = 0;
    std::size_t ready = 0;  // for calls
};

void count(head_count& in, const worker_stats& w) {
    ++in.all;
    if (w.state == worker_state::ready || w.state == worker_state::executing || w.state == worker_state::recycling)
        ++in.ready;
}

value json_of(const head_count& c) { return {{"all", c.all}, {"ready", c.ready}}; }

std::string_view state_of(const pool_impl& pool, const pool_stats& s) {
    if (const auto phase = pool.phase_name(); phase != "running") return phase;
    if (s.draining) return "draining";
    return s.degraded.empty() ? "running" : "degraded";
}

}  // namespace

value status_of(const pool_impl& pool, const birth& when) {
    const auto s = pool.stats();
    head_count workers;
    std::map<std::string, head_count> by_group;
    for (const auto& w : s.workers) {
        count(workers, w);
        count(by_group[w.group], w);
    }
    value groups = value::array();
    for (const auto& g : s.groups) {
        groups.push_back(detail::json_of(g));
        groups.back()["workers"] = json_of(by_group[g.name]);
    }
    const std::chrono::duration<double> uptime = std::chrono::steady_clock::now() - when.time;
    return {{"module", pool.options().module},
            {"pid", ::getpid()},
            {"version", SNAKEPIT_VERSION},
            {"protocol", fmt::format("{}.{}", protocol_major, protocol_minor)},
            {"started", rfc3339(when.date)},
            {"uptime", uptime.count()},
            {"state", state_of(pool, s)},
            {"draining", s.draining},
            {"degraded", s.degraded},
            {"workers", json_of(workers)},
            {"groups", std::move(groups)},
            {"calls", detail::json_of(static_cast<const call_stats&>(s))},
            {"sessions", s.sessions},
            {"log_level", to_string(pool.least_logged())},
            {"start_method", s.start_method == start_method::fork ? "fork" : "spawn"},
            {"start_method_reason", s.start_method_reason},
            {"refused_connections", s.refused_connections},
            {"metrics_port", s.metrics_port},
            {"spans_exported", s.spans_exported},
            {"spans_dropped", s.spans_dropped}};
}

value workers_of(const pool_impl& pool) {
    value all = value::array();
    for (const auto& w : pool.workers()) all.push_back(detail::json_of(w));
    return all;
}

value list_of(const std::vector<event>& events) {
    value all = value::array();
    for (const auto& e : events) all.push_back(to_value(e));
    return all;
}

}  // namespace snakepit::detail::admin
