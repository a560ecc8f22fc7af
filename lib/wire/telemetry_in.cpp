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
    return s.tracestates_size() == rows && s.span_ids_size() == rows && s.tools_size() == rows &&
           s.functions_size() == rows && s.thread_ids_size() == rows && s.thread_names_size() == rows &&
           s.begin_ns_size() == rows && s.took_ns_size() == rows && s.failed_size() == rows &&
           s.messages_size() == rows;
}

/// One row.
std::optional<span> checked(v1::Spans& s, int at) {
    if (!is_traceparent(s.traceparents(at)) || s.tracestates(at).size() > longest_tracestate ||
        !is_span_id(s.span_ids(at), 16) || s.tools(at).size() > longest_tool || s.functions(at).size() > longest_name ||
        s.thread_names(at).size() > longest_thread || s.messages(at).size() > longest_span_message)
        return std::nullopt;
    span made;
    const auto of = ids_of(s.traceparents(at));
    made.trace_id = of.trace_id;
    made.id = id_from<id_of_span>(s.span_ids(at));
    made.parent_id = of.id;
    made.tracestate = std::move(*s.mutable_tracestates(at));
    made.name = s.tools(at);
    made.what = span::kind::server;
    made.begin = time_of(s.begin_ns(at));
    made.end = std::max(made.begin, time_of(s.begin_ns(at) + std::min(s.took_ns(at), ~s.begin_ns(at))));
    made.message = std::move(*s.mutable_messages(at));
    // https://opentelemetry.io/docs/specs/semconv/
    made.attributes.reserve(7);
    made.attributes.emplace_back("rpc.system", "snakepit");
    made.attributes.emplace_back("rpc.system.name", "snakepit");
    made.attributes.emplace_back("rpc.method", std::move(*s.mutable_tools(at)));
    made.attributes.emplace_back("thread.id", static_cast<std::int64_t>(s.thread_ids(at)));
    made.attributes.emplace_back("thread.name", std::move(*s.mutable_thread_names(at)));
    made.attributes.emplace_back("code.function", std::move(*s.mutable_functions(at)));
    if (s.failed(at)) {
        made.outcome = span::status::error;
        auto type = made.message.substr(0, made.message.find(": "));  // "TypeError: unhashable"
        made.attributes.emplace_back("error.type", type.empty() ? std::string("_OTHER") : std::move(type));
    }
    return made;
}

}  // namespace

std::optional<heard::telemetry> checked(v1::Telemetry& t) {
    if (t.logs_size() > most_records || t.spans().traceparents_size() > most_records || !are_columns(t.spans()))
        return std::nullopt;
    heard::telemetry made;
    for (auto& r : *t.mutable_logs()) {
        auto one = checked(r);
        if (!one) return std::nullopt;
        made.logs.push_back(std::move(*one));
    }
    for (int i = 0; i < t.spans().traceparents_size(); ++i) {
        auto one = checked(*t.mutable_spans(), i);
        if (!one) return std::nullopt;
        made.spans.push_back(std::move(*one));
    }
    made.dropped_logs = t.dropped_logs();
    made.dropped_spans = t.dropped_spans();
    return made;
}

}  // namespace snakepit::detail
