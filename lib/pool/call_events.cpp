// What the switchboard tells of calls that have ended, and of tools.

#include "error/names.hpp"
#include "pool/consequences.hpp"
#include "pool/switchboard.hpp"

namespace snakepit::detail {
namespace {

std::chrono::microseconds between(call::clock::time_point from, call::clock::time_point to) {
    return std::max(std::chrono::microseconds(0), std::chrono::duration_cast<std::chrono::microseconds>(to - from));
}

/// @param c  answered, and not posted to its caller yet
happened::call_ended describe(const call& c, call_trail& trail, const std::string& group, call::clock::time_point now) {
    happened::call_ended e;
    e.tool = c.tool;
    e.group = group;
    e.outcome = c.outcome ? std::string("ok") : std::string(name_of(c.outcome.error().code()));
    if (!c.outcome) e.why = c.outcome.error();
    e.priority = c.priority;
    e.stream = c.stream != nullptr;
    e.hedge = trail.hedge;
    e.sent_bytes = c.large ? c.large->size() : c.arguments.size();
    e.submitted = trail.submitted;
    e.ended = now;
    e.attempts = std::move(trail.attempts);
    if (!e.attempts.empty() && e.attempts.back().outcome.empty()) {
        e.attempts.back().ended = e.ended;
        e.attempts.back().outcome = e.outcome;
    }
    const auto waits_since = trail.placed < trail.queued ? trail.queued : e.ended;
    e.queued = std::chrono::duration_cast<std::chrono::microseconds>(trail.waited) + between(waits_since, e.ended);
    if (!e.attempts.empty()) {
        const auto& last = e.attempts.back();
        e.worker = last.worker;
        e.dispatched = between(last.placed, last.sent);
        e.running = std::min(std::chrono::microseconds(trail.run_us), between(last.sent, last.ended));
        e.wire = between(last.sent, last.ended) - e.running;
    }
    if (c.trace) {
        e.trace_id = c.trace->ids.trace_id;
        e.span_id = c.trace->ids.id;
        e.parent_span_id = c.trace->ids.parent_id;
        e.tracestate = c.trace->tracestate;
        e.sampled = c.trace->is_recorded();
    }
    return e;
}

}  // namespace

/// If somebody wants to know, and it has none yet.
void switchboard::begin_trail(call& c) const {
    if (has_telemetry && told_.events && !c.trail && told_.events->wants<happened::call_ended>())
        c.trail = std::make_shared<call_trail>();
}

/// It is not at its worker any more, and goes on.
void switchboard::note_attempt_over(call& c, std::string_view outcome) {
    c.trail->queued = call::clock::now();
    if (c.id == 0 || c.trail->attempts.empty()) return;
    auto& last = c.trail->attempts.back();
    last.ended = c.trail->queued;
    last.outcome = outcome;
}

/// Before callers hear of it: whoever has an outcome finds it counted.
void switchboard::tell(consequences& todo) const {
    const auto now = call::clock::now();  // of all: what subscribers take is not the wire's
    for (auto& [c, trail] : todo.trails)
        if (told_.events) told_.events->publish([&] { return describe(*c, *trail, told_.group, now); });
    for (auto& [tool, is_out] : todo.circuits) {
        if (!told_.events) continue;
        if (is_out) told_.events->publish([&] { return happened::tool_degraded{told_.group, tool}; });
        else told_.events->publish([&] { return happened::tool_recovered{told_.group, tool}; });
    }
}

}  // namespace snakepit::detail
