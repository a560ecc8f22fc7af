#include "telemetry/tracer.hpp"

#include <random>
#include <string_view>

namespace snakepit::detail {
namespace {

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

/// Calls wait for it: as others do it, it takes ten times as long.
void append_hex(std::string& to, std::uint64_t n) {
    constexpr int digits = 16;
    char text[digits];
    for (auto* at = text + digits; at != text; n >>= 4) *--at = "0123456789abcdef"[n & 15];
    to.append(text, digits);
}

std::string random_id() {
    std::string id;
    append_hex(id, random_number());
    return id;
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
    : how_(how),
      redactor_(std::move(redact_with)),
      to_(std::move(to)),
      calls_(events.subscribe_late(event_filter::only<happened::call_ended>(),
                                   [this](const event& e) { ended(std::get<happened::call_ended>(e.what)); })) {}

/// As OpenTelemetry's TraceIdRatioBased: the same decision for one trace wherever it is made.
/// @param low  the last 64 bits of its id, of which it takes 63
bool tracer::samples(std::uint64_t low) const {
    return how_.ratio >= 1 || static_cast<double>(low >> 1) < how_.ratio * 9'223'372'036'854'775'808.0;
}

void tracer::begin(call& c) const {
    auto trail = std::make_unique<call_trail>();
    auto carried = std::make_shared<trace_context>();
    auto& ids = trail->span;
    if (c.trace) {
        auto above = ids_of(c.trace->traceparent);
        ids.trace_id = std::move(above.trace_id);
        ids.parent_id = std::move(above.id);
        ids.sampled = how_.parent_based ? above.sampled : samples(std::stoull(ids.trace_id.substr(16), nullptr, 16));
        carried->tracestate = c.trace->tracestate;
    } else {
        const auto low = random_number();
        ids.trace_id.reserve(32);
        append_hex(ids.trace_id, random_number());
        append_hex(ids.trace_id, low);
        ids.sampled = samples(low);
    }
    ids.id = random_id();
    carried->recorded = ids.sampled;
    constexpr std::size_t size = 55;
    carried->traceparent.reserve(size);
    carried->traceparent.append("00-").append(ids.trace_id).append("-").append(ids.id);
    carried->traceparent.append(ids.sampled ? "-01" : "-00");
    c.trace = std::move(carried);
    c.trail = std::move(trail);
}

/// The call, with a child for each thing that it waited for, each time: in the queue, at the worker until a frame took
/// it, and for the reply. What Python did comes from the worker.
void tracer::ended(const happened::call_ended& e) const {
    if (!e.sampled) return;
    const wall_clock clock;
    span whole;
    whole.trace_id = e.trace_id;
    whole.id = e.span_id;
    whole.parent_id = e.parent_span_id;
    whole.tracestate = e.tracestate;
    whole.name = e.tool;
    whole.what = span::kind::client;
    whole.begin = clock.at(e.submitted);
    whole.end = clock.at(e.ended);
    // https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/
    whole.attributes = {{"rpc.system", "snakepit"},
                        {"rpc.system.name", "snakepit"},
                        {"rpc.method", e.tool},
                        {"snakepit.priority", std::string(to_string(e.priority))},
                        {"snakepit.attempts", static_cast<std::int64_t>(e.attempts.size())}};
    if (!e.group.empty()) whole.attributes.emplace_back("snakepit.group", e.group);
    if (!e.worker.empty()) whole.attributes.emplace_back("snakepit.worker", e.worker);
    if (e.hedge) whole.attributes.emplace_back("snakepit.hedge", true);
    if (e.why) {
        whole.outcome = span::status::error;
        whole.message = redactor_->text(e.why->message());
        whole.attributes.emplace_back("error.type", e.outcome);
    }
    const auto part = [&](std::string name, std::chrono::steady_clock::time_point from,
                          std::chrono::steady_clock::time_point to) {
        span s;
        s.trace_id = e.trace_id;
        s.id = random_id();
        s.parent_id = e.span_id;
        s.tracestate = e.tracestate;
        s.name = std::move(name);
        s.begin = clock.at(from);
        s.end = clock.at(to);
        return s;
    };
    std::int64_t number = 0;
    for (const auto& a : e.attempts) {
        to_->take(part("queue", a.queued, a.placed));
        to_->take(part("dispatch", a.placed, a.sent));
        auto s = part("wire", a.sent, a.ended);
        s.attributes = {{"snakepit.worker", a.worker}, {"snakepit.attempt", ++number}};
        if (a.outcome != "ok") {
            s.outcome = span::status::error;
            s.attributes.emplace_back("error.type", a.outcome);
        }
        if (e.attempts.size() > 1) whole.links.push_back({e.trace_id, s.id, e.tracestate});
        to_->take(std::move(s));
    }
    const auto waits_since = e.attempts.empty() ? e.submitted : e.attempts.back().ended;
    if (waits_since < e.ended) to_->take(part("queue", waits_since, e.ended));
    to_->take(std::move(whole));
}

}  // namespace snakepit::detail
