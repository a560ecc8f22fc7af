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

std::optional<span> checked(v1::Span& s) {
    if (!is_span_id(s.trace_id(), 32) || !is_span_id(s.span_id(), 16) || !is_id_or_none(s.parent_id(), 16) ||
        s.name().size() > longest_name || s.message().size() > longest_span_message ||
        s.tracestate().size() > longest_tracestate || s.kind() > 5 || !fits(s.attributes()))
        return std::nullopt;
    span made;
    made.trace_id = std::move(*s.mutable_trace_id());
    made.id = std::move(*s.mutable_span_id());
    made.parent_id = std::move(*s.mutable_parent_id());
    made.tracestate = std::move(*s.mutable_tracestate());
    made.name = std::move(*s.mutable_name());
    made.what = static_cast<span::kind>(std::max(s.kind(), 1u));
    made.begin = time_of(s.begin_ns());
    made.end = std::max(made.begin, time_of(s.end_ns()));
    if (s.failed()) made.outcome = span::status::error;
    made.message = std::move(*s.mutable_message());
    for (auto& f : *s.mutable_attributes())
        made.attributes.emplace_back(std::move(*f.mutable_key()), std::move(*f.mutable_value()));
    return made;
}

}  // namespace

std::optional<heard::telemetry> checked(v1::Telemetry& t) {
    if (t.logs_size() > most_records || t.spans_size() > most_records) return std::nullopt;
    heard::telemetry made;
    for (auto& r : *t.mutable_logs()) {
        auto one = checked(r);
        if (!one) return std::nullopt;
        made.logs.push_back(std::move(*one));
    }
    for (auto& s : *t.mutable_spans()) {
        auto one = checked(s);
        if (!one) return std::nullopt;
        made.spans.push_back(std::move(*one));
    }
    made.dropped_logs = t.dropped_logs();
    made.dropped_spans = t.dropped_spans();
    return made;
}

}  // namespace snakepit::detail
