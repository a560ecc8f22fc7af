#include "telemetry/otlp/encode.hpp"

#include "value/utf8.hpp"

#include <snakepit/version.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <map>
#include <string>
#include <string_view>

namespace snakepit::detail {
namespace {

constexpr std::int32_t cumulative = 2;  // AGGREGATION_TEMPORALITY_CUMULATIVE

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

/// What OpenTelemetry's conventions have a name for: https://opentelemetry.io/docs/specs/semconv/
struct convention {
    std::string_view ours;
    const char* name;
    const char* unit;
    bool is_up_down = false;  ///< a sum that may fall

    /// Of the resource that a worker's process is.
    [[nodiscard]] constexpr bool is_of_process() const { return !ours.starts_with("rpc_"); }
};
constexpr std::array conventions{
    convention{"snakepit_worker_resident_memory_bytes", "process.memory.usage", "By", true},
    convention{"snakepit_worker_cpu_seconds_total", "process.cpu.time", "s"},
    convention{"snakepit_worker_age_seconds", "process.uptime", "s"},
    convention{"snakepit_worker_open_fds", "process.unix.file_descriptor.count", "{file_descriptor}", true},
    convention{"snakepit_worker_gc_collections_total", "cpython.gc.collections", "{collection}"},
    convention{"snakepit_worker_gc_collected_objects_total", "cpython.gc.collected_objects", "{object}"},
    convention{"snakepit_worker_gc_uncollectable_objects_total", "cpython.gc.uncollectable_objects", "{object}"},
    convention{"rpc_client_call_duration_seconds", "rpc.client.call.duration", "s"},
    convention{"rpc_server_call_duration_seconds", "rpc.server.call.duration", "s"}};
constexpr std::array<std::pair<std::string_view, const char*>, 7> attributes_of_conventions{
    {{"worker", "snakepit.worker"},
     {"group", "snakepit.group"},
     {"generation", "cpython.gc.generation"},
     {"rpc_system_name", "rpc.system.name"},
     {"rpc_method", "rpc.method"},
     {"rpc_status_code", "rpc.status_code"},
     {"error_type", "error.type"}}};

/// "snakepit_queue_wait_seconds": the unit is the last word, as Prometheus has it.
std::string unit_of(const std::string& name) {
    const auto ends_with = [&](const char* word) { return name.ends_with(word); };
    if (ends_with("_seconds") || ends_with("_seconds_total")) return "s";
    if (ends_with("_bytes") || ends_with("_bytes_total")) return "By";
    return "1";
}

std::string label_of(const prometheus::ClientMetric& m, std::string_view name) {
    for (const auto& label : m.label)
        if (label.name == name) return label.value;
    return {};
}

/// Without those that say nothing, where a convention has the name.
template <class Point>
void put_labels(const prometheus::ClientMetric& m, bool by_convention, Point& to) {
    for (const auto& label : m.label) {
        if (by_convention && label.value.empty()) continue;
        auto& each = *to.add_attributes();
        each.set_key(label.name);
        if (by_convention)
            for (const auto& [ours, name] : attributes_of_conventions)
                if (label.name == ours) each.set_key(name);
        each.mutable_value()->set_string_value(valid_utf8(label.value));
    }
}

/// Prometheus counts up to each bound, OTLP between them.
void put_value(const prometheus::ClientMetric& m, otlp::HistogramDataPoint& to) {
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

/// All metrics of one moment.
class metrics_writer {
public:
    using time_point = std::chrono::system_clock::time_point;

    metrics_writer(const std::vector<prometheus::MetricFamily>& families, time_point since)
        : since_(nanoseconds(since)) {
        for (const auto& f : families)
            if (f.name == "snakepit_worker_age_seconds")
                for (const auto& m : f.metric)
                    births_[label_of(m, "worker")] = now_ - static_cast<std::uint64_t>(m.gauge.value * 1e9);
    }

    /// What is the pool's to tell.
    void put(const prometheus::MetricFamily& f, otlp::ScopeMetrics& to) const {
        const auto known = std::ranges::find(conventions, f.name, &convention::ours);
        if (!f.name.starts_with("rpc_")) put(f, f.name, unit_of(f.name).c_str(), nullptr, to);
        if (known != conventions.end() && !known->is_of_process()) put(f, known->name, known->unit, &*known, to);
    }
    /// What is that of a worker's process, by the conventions.
    void put_of_process(const prometheus::MetricFamily& f, const std::string& worker, otlp::ScopeMetrics& to) const {
        const auto known = std::ranges::find(conventions, f.name, &convention::ours);
        if (known == conventions.end() || !known->is_of_process()) return;
        prometheus::MetricFamily own{f.name, f.help, f.type, {}};
        std::ranges::copy_if(f.metric, std::back_inserter(own.metric),
                             [&](const auto& m) { return label_of(m, "worker") == worker; });
        if (!own.metric.empty()) put(own, known->name, known->unit, &*known, to);
    }
    [[nodiscard]] std::vector<std::string> workers() const {
        std::vector<std::string> all;
        for (const auto& [worker, born] : births_) all.push_back(worker);
        return all;
    }

private:
    void put(const prometheus::MetricFamily& f, const std::string& name, const char* unit, const convention* by,
             otlp::ScopeMetrics& to) const {
        auto& m = *to.add_metrics();
        m.set_name(name);
        m.set_description(f.help);
        m.set_unit(unit);
        const bool is_counter = f.type == prometheus::MetricType::Counter;
        if (f.type == prometheus::MetricType::Histogram) {
            m.mutable_histogram()->set_aggregation_temporality(cumulative);
            for (const auto& p : f.metric)
                put_value(p, point(f, p, by != nullptr, *m.mutable_histogram()->add_data_points()));
        } else if (is_counter || (by && by->is_up_down)) {
            m.mutable_sum()->set_aggregation_temporality(cumulative);
            m.mutable_sum()->set_is_monotonic(is_counter);
            for (const auto& p : f.metric)
                point(f, p, by != nullptr, *m.mutable_sum()->add_data_points())
                    .set_as_double(is_counter ? p.counter.value : p.gauge.value);
        } else {
            for (const auto& p : f.metric)
                point(f, p, by != nullptr, *m.mutable_gauge()->add_data_points()).set_as_double(p.gauge.value);
        }
    }
    template <class Point>
    Point& point(const prometheus::MetricFamily& f, const prometheus::ClientMetric& m, bool by_convention,
                 Point& to) const {
        put_labels(m, by_convention, to);
        to.set_start_time_unix_nano(beginning_of(f, m));
        to.set_time_unix_nano(now_);
        return to;
    }
    /// What is counted for an incarnation begins with it.
    std::uint64_t beginning_of(const prometheus::MetricFamily& f, const prometheus::ClientMetric& m) const {
        if (f.type != prometheus::MetricType::Counter || f.name == "snakepit_worker_calls_total") return since_;
        const auto born = births_.find(label_of(m, "worker"));
        return born == births_.end() ? since_ : born->second;
    }

    const std::uint64_t now_ = nanoseconds(std::chrono::system_clock::now());
    const std::uint64_t since_;
    std::map<std::string, std::uint64_t> births_;  // of incarnations, by their worker
};

}  // namespace

std::uint64_t nanoseconds(std::chrono::system_clock::time_point t) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch()).count());
}

otlp::InstrumentationScope own_scope() {
    otlp::InstrumentationScope made;
    made.set_name("snakepit");
    made.set_version(SNAKEPIT_VERSION);
    return made;
}

otlp::Resource resource_of(const resource_attributes& host, const resource_attributes& process) {
    otlp::Resource made;
    for (const auto& pair : host) {
        const bool is_hosts_own = !process.empty() && pair.first.starts_with("process.");
        if (!is_hosts_own &&
            std::ranges::find(process, pair.first, &resource_attributes::value_type::first) == process.end())
            put(pair, made);
    }
    for (const auto& pair : process) put(pair, made);
    return made;
}

otlp::ExportMetricsServiceRequest encode(const std::vector<prometheus::MetricFamily>& families,
                                         const resource_attributes& host, std::chrono::system_clock::time_point since) {
    otlp::ExportMetricsServiceRequest request;
    const auto add = [&](const resource_attributes& process) -> otlp::ScopeMetrics& {
        auto& of = *request.add_resource_metrics();
        *of.mutable_resource() = resource_of(host, process);
        auto& scope = *of.add_scope_metrics();
        *scope.mutable_scope() = own_scope();
        return scope;
    };
    const metrics_writer out(families, since);
    auto& of_pool = add({});
    for (const auto& f : families) out.put(f, of_pool);
    for (const auto& worker : out.workers()) {
        auto& of_process = add({{"snakepit.worker", worker}, {"process.runtime.name", "cpython"}});
        for (const auto& f : families) out.put_of_process(f, worker, of_process);
    }
    return request;
}

}  // namespace snakepit::detail
