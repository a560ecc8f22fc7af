#include "telemetry/otlp/encode.hpp"

#include "value/utf8.hpp"

#include <snakepit/version.hpp>

#include <algorithm>
#include <cmath>
#include <map>

namespace snakepit::detail {
namespace {

constexpr std::int32_t cumulative = 2;  // AGGREGATION_TEMPORALITY_CUMULATIVE
constexpr std::uint32_t sampled_flag = 1;

std::uint64_t nanoseconds(std::chrono::system_clock::time_point t) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch()).count());
}

int digit_of(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

std::string bytes_of(const std::string& hex) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes += static_cast<char>(digit_of(hex[i]) * 16 + digit_of(hex[i + 1]));
    return bytes;
}

void put(const attribute& what, otlp::AnyValue& to) {
    if (const auto* text = std::get_if<std::string>(&what)) to.set_string_value(valid_utf8(*text));
    else if (const auto* n = std::get_if<std::int64_t>(&what)) to.set_int_value(*n);
    else if (const auto* d = std::get_if<double>(&what)) to.set_double_value(*d);
    else to.set_bool_value(std::get<bool>(what));
}

template <class Attributes, class To>
void put_all(const Attributes& attributes, To* to) {
    for (const auto& [key, value] : attributes) {
        auto& each = *to->Add();
        each.set_key(valid_utf8(key));
        put(value, *each.mutable_value());
    }
}

void put(const span& s, otlp::Span& to) {
    to.set_trace_id(bytes_of(s.trace_id));
    to.set_span_id(bytes_of(s.id));
    to.set_parent_span_id(bytes_of(s.parent_id));
    to.set_trace_state(s.tracestate);
    to.set_flags(sampled_flag);
    to.set_name(valid_utf8(s.name));
    to.set_kind(static_cast<std::int32_t>(s.what));
    to.set_start_time_unix_nano(nanoseconds(s.begin));
    to.set_end_time_unix_nano(nanoseconds(std::max(s.begin, s.end)));
    put_all(s.attributes, to.mutable_attributes());
    for (const auto& e : s.events) {
        auto& each = *to.add_events();
        each.set_time_unix_nano(nanoseconds(e.at));
        each.set_name(valid_utf8(e.name));
        put_all(e.attributes, each.mutable_attributes());
    }
    for (const auto& l : s.links) {
        auto& each = *to.add_links();
        each.set_trace_id(bytes_of(l.trace_id));
        each.set_span_id(bytes_of(l.span_id));
        each.set_trace_state(l.tracestate);
    }
    if (s.outcome == span::status::unset) return;
    to.mutable_status()->set_code(static_cast<std::int32_t>(s.outcome));
    to.mutable_status()->set_message(valid_utf8(s.message));
}

void put_scope(otlp::InstrumentationScope& to) {
    to.set_name("snakepit");
    to.set_version(SNAKEPIT_VERSION);
}

/// "snakepit_queue_wait_seconds": the unit is the last word, as Prometheus has it.
std::string unit_of(const std::string& name) {
    const auto ends_with = [&](const char* word) { return name.ends_with(word); };
    if (ends_with("_seconds") || ends_with("_seconds_total")) return "s";
    if (ends_with("_bytes") || ends_with("_bytes_total")) return "By";
    return "1";
}

template <class Point>
void put_labels(const prometheus::ClientMetric& m, Point& to) {
    for (const auto& label : m.label) {
        auto& each = *to.add_attributes();
        each.set_key(label.name);
        each.mutable_value()->set_string_value(valid_utf8(label.value));
    }
}

void put_number(const prometheus::ClientMetric& m, double value, std::uint64_t since, std::uint64_t now,
                otlp::NumberDataPoint& to) {
    put_labels(m, to);
    to.set_start_time_unix_nano(since);
    to.set_time_unix_nano(now);
    to.set_as_double(value);
}

/// Prometheus counts up to each bound, OTLP between them.
void put_histogram(const prometheus::ClientMetric& m, std::uint64_t since, std::uint64_t now,
                   otlp::HistogramDataPoint& to) {
    put_labels(m, to);
    to.set_start_time_unix_nano(since);
    to.set_time_unix_nano(now);
    to.set_count(m.histogram.sample_count);
    to.set_sum(m.histogram.sample_sum);
    std::uint64_t below = 0;
    for (const auto& b : m.histogram.bucket) {
        if (std::isinf(b.upper_bound)) continue;
        to.add_explicit_bounds(b.upper_bound);
        to.add_bucket_counts(b.cumulative_count - below);
        below = b.cumulative_count;
    }
    to.add_bucket_counts(m.histogram.sample_count - std::min(below, m.histogram.sample_count));
}

}  // namespace

std::size_t encoded_size(const span& s) {
    constexpr std::size_t each_field = 16;
    const auto size_of = [](const std::vector<std::pair<std::string, attribute>>& attributes) {
        std::size_t all = 0;
        for (const auto& [key, value] : attributes) {
            const auto* text = std::get_if<std::string>(&value);
            all += each_field + key.size() + (text ? text->size() : 0);
        }
        return all;
    };
    auto all = 10 * each_field + s.tracestate.size() + s.name.size() + s.message.size() + size_of(s.attributes);
    for (const auto& e : s.events) all += 2 * each_field + e.name.size() + size_of(e.attributes);
    for (const auto& l : s.links) all += 4 * each_field + l.tracestate.size();
    return all;
}

otlp::ExportTraceServiceRequest encode(const std::vector<span>& spans, const resource_attributes& host) {
    otlp::ExportTraceServiceRequest request;
    std::map<std::vector<std::pair<std::string, attribute>>, otlp::ScopeSpans*> by_process;
    for (const auto& s : spans) {
        auto& scope = by_process[s.process];
        if (!scope) {
            auto& of = *request.add_resource_spans();
            const auto is_own = [&](const auto& pair) {
                return std::ranges::any_of(s.process, [&](const auto& p) { return p.first == pair.first; });
            };
            for (const auto& pair : host) {
                if (is_own(pair)) continue;
                auto& each = *of.mutable_resource()->add_attributes();
                each.set_key(valid_utf8(pair.first));
                put(pair.second, *each.mutable_value());
            }
            put_all(s.process, of.mutable_resource()->mutable_attributes());
            scope = of.add_scope_spans();
            put_scope(*scope->mutable_scope());
        }
        put(s, *scope->add_spans());
    }
    return request;
}

otlp::ExportMetricsServiceRequest encode(const std::vector<prometheus::MetricFamily>& families,
                                         const resource_attributes& host, std::chrono::system_clock::time_point since) {
    otlp::ExportMetricsServiceRequest request;
    auto& of = *request.add_resource_metrics();
    put_all(host, of.mutable_resource()->mutable_attributes());
    auto& scope = *of.add_scope_metrics();
    put_scope(*scope.mutable_scope());
    const auto begin = nanoseconds(since);
    const auto now = nanoseconds(std::chrono::system_clock::now());
    for (const auto& f : families) {
        auto& m = *scope.add_metrics();
        m.set_name(f.name);
        m.set_description(f.help);
        m.set_unit(unit_of(f.name));
        switch (f.type) {
            case prometheus::MetricType::Counter:
                m.mutable_sum()->set_aggregation_temporality(cumulative);
                m.mutable_sum()->set_is_monotonic(true);
                for (const auto& p : f.metric)
                    put_number(p, p.counter.value, begin, now, *m.mutable_sum()->add_data_points());
                break;
            case prometheus::MetricType::Histogram:
                m.mutable_histogram()->set_aggregation_temporality(cumulative);
                for (const auto& p : f.metric) put_histogram(p, begin, now, *m.mutable_histogram()->add_data_points());
                break;
            default:
                for (const auto& p : f.metric)
                    put_number(p, p.gauge.value, begin, now, *m.mutable_gauge()->add_data_points());
        }
    }
    return request;
}

}  // namespace snakepit::detail
