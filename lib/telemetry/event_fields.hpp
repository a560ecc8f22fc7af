#pragma once
// What each event tells, in order: the one list from which its JSON and its row in docs/events.md come.

#include <snakepit/events.hpp>

namespace snakepit::detail {

/// Calls `f(name, member)` for each.
template <class F>
struct event_fields {
    F f;

    void operator()(const happened::pool_started& e) const { f("module", e.module); }
    void operator()(const happened::pool_draining&) const {}
    void operator()(const happened::pool_resumed&) const {}
    void operator()(const happened::pool_stopped&) const {}
    void operator()(const happened::connection_refused& e) const {
        f("pid", e.pid);
        f("why", e.why);
    }
    void operator()(const happened::worker_hired& e) const {
        f("worker", e.worker);
        f("group", e.group);
    }
    void operator()(const happened::worker_left& e) const { f("worker", e.worker); }
    void operator()(const happened::worker_moved& e) const {
        of_worker(e);
        f("from", to_string(e.from));
        f("to", to_string(e.to));
        f("cause", e.cause);
        f("why", e.why);
    }
    void operator()(const happened::worker_ended& e) const {
        of_worker(e);
        f("planned", e.planned);
        f("why", e.why);
    }
    void operator()(const happened::worker_restarting& e) const {
        f("worker", e.worker);
        f("restarts", e.restarts);
        f("pause", e.pause);
        f("reason", to_string(e.reason));
    }
    void operator()(const happened::worker_recycled& e) const {
        of_worker(e);
        f("reason", to_string(e.reason));
    }
    void operator()(const happened::heartbeat_answered& e) const {
        of_worker(e);
        f("latency", e.latency);
        f("resident_bytes", e.resident_bytes);
    }
    void operator()(const happened::loop_blocked& e) const {
        of_worker(e);
        f("so_far", e.so_far);
        f("by", e.by);
        f("stack", e.stack);
    }
    void operator()(const happened::worker_wrote& e) const {
        of_worker(e);
        f("stream", e.stream);
        f("line", e.line);
        of_call(e);
    }
    void operator()(const happened::worker_logged& e) const {
        of_worker(e);
        f("level", to_string(e.level));
        f("logger", e.logger);
        f("message", e.message);
        of_call(e);
        f("span_id", e.span_id);
        f("fields", e.fields);
    }
    void operator()(const happened::output_dropped& e) const {
        of_worker(e);
        f("stream", e.stream);
        f("lines", e.lines);
    }
    void operator()(const happened::group_degraded& e) const {
        f("group", e.group);
        f("why", e.why);
    }
    void operator()(const happened::group_recovered& e) const { f("group", e.group); }
    void operator()(const happened::group_resized& e) const {
        f("group", e.group);
        f("from", e.from);
        f("to", e.to);
    }
    void operator()(const happened::tool_degraded& e) const {
        f("group", e.group);
        f("tool", e.tool);
    }
    void operator()(const happened::tool_recovered& e) const {
        f("group", e.group);
        f("tool", e.tool);
    }
    void operator()(const happened::call_ended& e) const {
        f("tool", e.tool);
        f("group", e.group);
        f("worker", e.worker);
        f("outcome", e.outcome);
        f("priority", to_string(e.priority));
        f("stream", e.stream);
        f("hedge", e.hedge);
        f("sent_bytes", e.sent_bytes);
        f("total", std::chrono::duration_cast<std::chrono::microseconds>(e.ended - e.submitted));
        f("queued", e.queued);
        f("dispatched", e.dispatched);
        f("wire", e.wire);
        f("running", e.running);
        f("attempts", e.attempts);
        f("why", e.why);
        f("trace_id", e.trace_id);
        f("span_id", e.span_id);
        f("parent_span_id", e.parent_span_id);
        f("tracestate", e.tracestate);
        f("sampled", e.sampled);
    }
    void operator()(const happened::call_slow& e) const {
        of_worker(e);
        of_call(e);
        f("running_for", e.running_for);
        f("stack", e.stack);
    }
    void operator()(const happened::setting_ignored& e) const { f("why", e.why); }
    void operator()(const happened::telemetry_dropped& e) const {
        f("spans", e.spans);
        f("why", e.why);
    }

private:
    template <class E>
    void of_worker(const E& e) const {
        f("worker", e.worker);
        f("incarnation", e.incarnation);
    }
    template <class E>
    void of_call(const E& e) const {
        f("call", e.call);
        f("tool", e.tool);
        f("trace_id", e.trace_id);
    }
};

template <class F>
void for_each_field(const happened::any& what, F f) {
    std::visit(event_fields<F>{std::move(f)}, what);
}

}  // namespace snakepit::detail
