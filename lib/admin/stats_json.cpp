#include "admin/stats_json.hpp"

#include "process/process_facts.hpp"

#include <string>

namespace snakepit::detail {
namespace {

template <class Rep, class Period>
double seconds(std::chrono::duration<Rep, Period> d) {
    return std::chrono::duration<double>(d).count();
}

value json_of(const wait_stats& w) {
    return {{"count", w.count},
            {"total", seconds(w.total)},
            {"longest", seconds(w.longest)},
            {"waiting", seconds(w.waiting)}};
}

value json_of(const heartbeat_stats& h) {
    return {{"latency", seconds(h.latency)},
            {"latency_p99", seconds(h.latency_p99)},
            {"missed", h.missed},
            {"busy", h.busy},
            {"resident_bytes", h.resident_bytes}};
}

}  // namespace

value json_of(const call_stats& s) {
    return {{"submitted", s.submitted},
            {"succeeded", s.succeeded},
            {"failed", s.failed},
            {"cancelled", s.cancelled},
            {"expired", s.expired},
            {"refused", s.refused},
            {"late_replies", s.late_replies},
            {"moved", s.moved},
            {"recalled", s.recalled},
            {"recovered", s.recovered},
            {"retried", s.retried},
            {"hedged", s.hedged},
            {"queued", s.queued},
            {"queued_interactive", s.queued_interactive},
            {"queued_normal", s.queued_normal},
            {"queued_batch", s.queued_batch},
            {"waits", json_of(s.waits)},
            {"in_flight", s.in_flight},
            {"frames_sent", s.frames_sent},
            {"frames_received", s.frames_received},
            {"calls_sent", s.calls_sent},
            {"replies_received", s.replies_received},
            {"bytes_sent", s.bytes_sent},
            {"bytes_received", s.bytes_received}};
}

value json_of(const group_stats& s) {
    return {{"name", s.name}, {"degraded", s.degraded}, {"calls", json_of(static_cast<const call_stats&>(s))}};
}

value json_of(const worker_stats& s) {
    value recycles = value::object();
    for (const auto& [reason, times] : s.recycles) recycles[std::string(to_string(reason))] = times;
    const auto facts = s.pid != 0 ? facts_of(s.pid) : std::nullopt;
    return {{"id", s.id},
            {"group", s.group},
            {"state", to_string(s.state)},
            {"pid", s.pid},
            {"incarnation", s.incarnation},
            {"age", seconds(s.age)},
            {"outstanding", s.outstanding},
            {"calls", s.calls},
            {"total_calls", s.total_calls},
            {"credit", s.credit},
            {"service_time", seconds(s.service_time)},
            {"round_trip", seconds(s.round_trip)},
            {"running", s.running},
            {"running_for", seconds(s.running_for)},
            {"restarts", s.restarts},
            {"recycles", std::move(recycles)},
            {"recycling_failed", s.recycling_failed},
            {"lane", s.lane},
            {"heartbeat", json_of(s.heartbeat)},
            {"loop_blocked", s.loop_blocked},
            {"last_exit", s.last_exit},
            {"cpu", facts ? value(seconds(facts->cpu)) : value(nullptr)}};
}

}  // namespace snakepit::detail
