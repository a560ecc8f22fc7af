#include "telemetry/tracer.hpp"

#include <cstring>
#include <random>

namespace snakepit::detail {
namespace {

constexpr std::size_t longest_tool = 200;

std::uint64_t random_number() {
    thread_local std::mt19937_64 source = [] {
        std::random_device real;
        std::seed_seq seed{real(), real(), real(), real(), real(), real(), real(), real()};
        return std::mt19937_64(seed);
    }();
    std::uint64_t n = 0;
    while (n == 0) n = source();  // ids of zeros are none
    return n;
}

template <class Id>
Id random_id() {
    Id id;
    for (std::size_t i = 0; i < id.bytes.size(); i += sizeof(std::uint64_t)) {
        const auto n = random_number();
        std::memcpy(id.bytes.data() + i, &n, sizeof n);
    }
    return id;
}

/// The last 64 bits.
std::uint64_t low_of(const trace_id& id) {
    std::uint64_t n = 0;
    for (std::size_t i = id.bytes.size() - sizeof n; i < id.bytes.size(); ++i) n = n << 8 | id.bytes[i];
    return n;
}

/// Steady times of one event on the wall clock, whose jumps then move the whole trace.
class wall_clock {
public:
    [[nodiscard]] std::chrono::system_clock::time_point at(std::chrono::steady_clock::time_point t) const {
        return wall_ + std::chrono::duration_cast<std::chrono::system_clock::duration>(t - steady_);
    }

private:
    const std::chrono::system_clock::time_point wall_ = std::chrono::system_clock::now();
    const std::chrono::steady_clock::time_point steady_ = std::chrono::steady_clock::now();
};

}  // namespace

tracer::tracer(sampling how, event_bus& events, std::shared_ptr<const redactor> redact_with,
               std::shared_ptr<span_sink> to)
    : how_(how), redactor_(std::move(redact_with)), to_(std::move(to)), listening_(events.listen(*this)) {}

/// As OpenTelemetry's TraceIdRatioBased: the same decision for one trace wherever it is made.
bool tracer::samples(const trace_id& trace) const {
    return how_.ratio >= 1 || static_cast<double>(low_of(trace) >> 1) < how_.ratio * 9'223'372'036'854'775'808.0;
}

void tracer::begin(call& c) const {
    struct traced {
        call_trail trail;
        trace_context carried;
    };
    const auto made = std::make_shared<traced>();
    auto& carried = made->carried;
    auto& ids = carried.ids;
    if (c.trace) {
        const auto& above = c.trace->ids;
        ids.trace_id = above.trace_id;
        ids.parent_id = above.id ? above.id : above.parent_id;  // the latter: of a header that the caller was given
        ids.sampled = how_.parent_based ? above.sampled : samples(ids.trace_id);
        carried.tracestate = c.trace->tracestate;
    } else {
        ids.trace_id = random_id<trace_id>();
        ids.sampled = samples(ids.trace_id);
    }
    ids.id = random_id<span_id>();
    c.trace = {made, &made->carried};
    c.trail = {made, &made->trail};
}

/// The call, with a child for each thing that it waited for, each time: in the queue, at the worker until a frame took
/// it, and for the reply. What Python did comes from the worker.
void tracer::ended(const happened::call_ended& e) {
    if (!e.sampled) return;
    const wall_clock clock;
    span whole;
    whole.trace_id = e.trace_id;
    whole.id = e.span_id;
    whole.parent_id = e.parent_span_id;
    whole.tracestate = e.tracestate;
    // Where there is no such tool the name may be anything.
    const std::string tool = e.outcome == "unknown_tool" ? "_OTHER" : e.tool.substr(0, longest_tool);
    whole.name = tool;
    whole.what = span::kind::client;
    whole.begin = clock.at(e.submitted);
    whole.end = clock.at(e.ended);
    // https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/
    whole.attributes.reserve(9);
    whole.attributes.emplace_back("rpc.system", "snakepit");
    whole.attributes.emplace_back("rpc.system.name", "snakepit");
    whole.attributes.emplace_back("rpc.method", tool);
    whole.attributes.emplace_back("snakepit.priority", std::string(to_string(e.priority)));
    whole.attributes.emplace_back("snakepit.attempts", static_cast<std::int64_t>(e.attempts.size()));
    if (!e.group.empty()) whole.attributes.emplace_back("snakepit.group", e.group);
    if (!e.worker.empty()) whole.attributes.emplace_back("snakepit.worker", e.worker);
    if (e.hedge) {
        whole.attributes.emplace_back("snakepit.hedge", true);
        whole.links.push_back({whole.trace_id, whole.parent_id, e.tracestate});  // the attempt that it is beside
    }
    if (e.why) {
        whole.outcome = span::status::error;
        whole.message = redactor_->text(e.why->message());
        whole.attributes.emplace_back("error.type", e.outcome);
    }
    span part;  // one after the other
    part.trace_id = whole.trace_id;
    part.parent_id = whole.id;
    part.tracestate = e.tracestate;
    part.attributes.reserve(3);
    const auto take = [&](const char* name, std::chrono::steady_clock::time_point from,
                          std::chrono::steady_clock::time_point to) {
        part.id = random_id<span_id>();
        part.name = name;
        part.begin = clock.at(from);
        part.end = clock.at(to);
        to_->take(part);
    };
    std::int64_t number = 0;
    for (const auto& a : e.attempts) {
        take("queue", a.queued, a.placed);
        take("dispatch", a.placed, a.sent);
        part.attributes.emplace_back("snakepit.worker", a.worker);
        part.attributes.emplace_back("snakepit.attempt", ++number);
        if (a.outcome != "ok") {
            part.outcome = span::status::error;
            part.attributes.emplace_back("error.type", a.outcome);
        }
        take("wire", a.sent, a.ended);
        part.attributes.clear();
        part.outcome = span::status::unset;
        if (e.attempts.size() > 1) whole.links.push_back({whole.trace_id, part.id, e.tracestate});
    }
    const auto waits_since = e.attempts.empty() ? e.submitted : e.attempts.back().ended;
    if (waits_since < e.ended) take("queue", waits_since, e.ended);
    to_->take(whole);
}

}  // namespace snakepit::detail
