#include "telemetry/otlp/encode.hpp"

#include "value/utf8.hpp"

#include <snakepit/version.hpp>

#include <algorithm>
#include <cmath>

namespace snakepit::detail {
namespace {

constexpr std::int32_t cumulative = 2;  // AGGREGATION_TEMPORALITY_CUMULATIVE

std::uint64_t nanoseconds(std::chrono::system_clock::time_point t) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch()).count());
}

void put(const attribute& what, otlp::AnyValue& to) {
    if (const auto* text = std::get_if<std::string>(&what)) to.set_string_value(valid_utf8(*text));
    else if (const auto* n = std::get_if<std::int64_t>(&what)) to.set_int_value(*n);
    else if (const auto* d = std::get_if<double>(&what)) to.set_double_value(*d);
    else to.set_bool_value(std::get<bool>(what));
}

void put(const std::pair<std::string, attribute>& what, otlp::Resource& to) {
    auto& each = *to.add_attributes();
    each.set_key(valid_utf8(what.first));
    put(what.second, *each.mutable_value());
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

otlp::InstrumentationScope own_scope() {
    otlp::InstrumentationScope made;
    made.set_name("snakepit");
    made.set_version(SNAKEPIT_VERSION);
    return made;
}

otlp::Resource resource_of(const resource_attributes& host, const resource_attributes& process) {
    otlp::Resource made;
    for (const auto& pair : host)
        if (std::ranges::find(process, pair.first, &resource_attributes::value_type::first) == process.end())
            put(pair, made);
    for (const auto& pair : process) put(pair, made);
    return made;
}

otlp::ExportMetricsServiceRequest encode(const std::vector<prometheus::MetricFamily>& families,
                                         const resource_attributes& host, std::chrono::system_clock::time_point since) {
    otlp::ExportMetricsServiceRequest request;
    auto& of = *request.add_resource_metrics();
    *of.mutable_resource() = resource_of(host, {});
    auto& scope = *of.add_scope_metrics();
    *scope.mutable_scope() = own_scope();
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
