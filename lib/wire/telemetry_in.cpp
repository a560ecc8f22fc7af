#include "wire/telemetry_in.hpp"

#include "snakepit/v1/control.pb.h"
#include "telemetry/trace_context.hpp"

#include <algorithm>

namespace snakepit::detail {
namespace {

constexpr int most_records = 512;
constexpr int most_fields = 32;
constexpr std::size_t longest_name = 256;
constexpr std::size_t longest_message = std::size_t{8} << 10;
constexpr std::size_t longest_tool = 200;
constexpr std::size_t longest_thread = 128;
constexpr std::size_t longest_span_message = std::size_t{1} << 10;
constexpr std::size_t longest_key = 128;
constexpr std::size_t longest_value = std::size_t{1} << 10;
constexpr std::size_t longest_tracestate = 512;

bool fits(const google::protobuf::RepeatedPtrField<v1::Field>& fields) {
    return fields.size() <= most_fields && std::ranges::all_of(fields, [](const v1::Field& f) {
               return f.key().size() <= longest_key && f.value().size() <= longest_value;
           });
}

bool is_id_or_none(std::string_view id, std::size_t digits) { return id.empty() || is_span_id(id, digits); }

/// What a worker says may be anything.
std::chrono::system_clock::time_point time_of(std::uint64_t ns) {
    const auto limited = std::min<std::uint64_t>(ns, std::numeric_limits<std::int64_t>::max());
    return std::chrono::system_clock::time_point(std::chrono::duration_cast<std::chrono::system_clock::duration>(
        std::chrono::nanoseconds(static_cast<std::int64_t>(limited))));
}

/// Seconds, less than a century of them.
bool is_time(double seconds) { return seconds >= 0 && seconds < 3e9; }

std::uint64_t later(std::uint64_t ns, double seconds) {
    const auto more = static_cast<std::uint64_t>(seconds * 1e9);
    return ns + std::min(more, ~ns);
}

std::optional<heard::log_record> checked(v1::LogRecord& r) {
    if (r.logger().size() > longest_name || r.message().size() > longest_message || r.tool().size() > longest_name ||
        !is_id_or_none(r.trace_id(), 32) || !is_id_or_none(r.span_id(), 16) || !fits(r.fields()))
        return std::nullopt;
    heard::log_record made{time_of(std::min(r.time_us(), std::uint64_t{1} << 53) * 1'000),
                           static_cast<int>(std::min(r.level(), 1'000u)),
                           std::move(*r.mutable_logger()),
                           std::move(*r.mutable_message()),
                           r.call(),
                           std::move(*r.mutable_tool()),
                           std::move(*r.mutable_trace_id()),
                           std::move(*r.mutable_span_id()),
                           {}};
    for (auto& f : *r.mutable_fields())
        made.fields.emplace_back(std::move(*f.mutable_key()), std::move(*f.mutable_value()));
    return made;
}

bool are_columns(const v1::Spans& s) {
    const auto rows = s.traceparents_size();
    return (s.tracestates_size() == rows || s.tracestates_size() == 0) && s.ids_size() == rows &&
           s.places_size() == rows && s.begun_size() == rows && s.took_size() == rows && s.where_size() <= rows &&
           s.failures_size() <= rows;
}

bool fits(const v1::SpanPlace& p) {
    return p.tool().size() <= longest_tool && p.function().size() <= longest_name &&
           p.thread_name().size() <= longest_thread;
}

/// One row, unless it has failed.
std::optional<span> checked(v1::Spans& s, int at) {
    const auto& above = s.traceparents(at);
    if (!is_traceparent(above) || !is_time(s.begun(at)) || !is_time(s.took(at)) || s.ids(at) == 0 ||
        s.places(at) >= static_cast<std::uint32_t>(s.where_size()))
        return std::nullopt;
    span made;
    const auto ids = ids_below(above);
    made.trace_id = ids.trace_id;
    made.parent_id = ids.parent_id;
    for (std::size_t i = 0; i < made.id.bytes.size(); ++i)
        made.id.bytes[i] = static_cast<std::uint8_t>(s.ids(at) >> (56 - 8 * i));
    if (s.tracestates_size() != 0) {
        made.tracestate = std::move(*s.mutable_tracestates(at));
        if (made.tracestate.size() > longest_tracestate) return std::nullopt;
    }
    const auto& place = s.where(static_cast<int>(s.places(at)));
    made.name = place.tool();
    made.what = span::kind::server;
    const auto begin = later(s.clock_began_ns(), s.begun(at));
    made.begin = time_of(begin);
    made.end = time_of(later(begin, s.took(at)));
    // https://opentelemetry.io/docs/specs/semconv/
    made.attributes.reserve(7);
    made.attributes.emplace_back("rpc.system", "snakepit");
    made.attributes.emplace_back("rpc.system.name", "snakepit");
    made.attributes.emplace_back("rpc.method", place.tool());
    made.attributes.emplace_back("thread.id", static_cast<std::int64_t>(place.thread_id()));
    made.attributes.emplace_back("thread.name", place.thread_name());
    made.attributes.emplace_back("code.function", place.function());
    return made;
}

/// Of a class, "package.module.outer.<locals>.Class": nothing of the user's data.
bool is_type(std::string_view name) {
    return !name.empty() && name.size() <= longest_key && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
               c == '<' || c == '>';
    });
}

/// @param why  as in "TypeError: unhashable type: 'list'"
void fail(span& s, std::string why) {
    s.outcome = span::status::error;
    auto type = why.substr(0, why.find(": "));
    s.attributes.emplace_back("error.type", is_type(type) ? std::move(type) : std::string("_OTHER"));
    s.message = std::move(why);
}

/// @return  false: they are not what a worker may say
bool take(v1::Spans& s, std::vector<span>& into) {
    if (s.traceparents_size() > most_records || !are_columns(s) ||
        !std::ranges::all_of(s.where(), [](const v1::SpanPlace& p) { return fits(p); }))
        return false;
    into.reserve(static_cast<std::size_t>(s.traceparents_size()));
    for (int i = 0; i < s.traceparents_size(); ++i) {
        auto one = checked(s, i);
        if (!one) return false;
        into.push_back(std::move(*one));
    }
    for (auto& f : *s.mutable_failures()) {
        if (f.span() >= into.size() || f.message().size() > longest_span_message) return false;
        auto& failed = into[f.span()];
        if (failed.outcome == span::status::error) return false;
        fail(failed, std::move(*f.mutable_message()));
    }
    return true;
}

}  // namespace

std::optional<heard::telemetry> checked(v1::Telemetry& t) {
    if (t.logs_size() > most_records) return std::nullopt;
    heard::telemetry made;
    for (auto& r : *t.mutable_logs()) {
        auto one = checked(r);
        if (!one) return std::nullopt;
        made.logs.push_back(std::move(*one));
    }
    if (!take(*t.mutable_spans(), made.spans)) return std::nullopt;
    made.dropped_logs = t.dropped_logs();
    made.dropped_spans = t.dropped_spans();
    return made;
}

}  // namespace snakepit::detail
