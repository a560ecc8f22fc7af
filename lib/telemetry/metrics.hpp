#pragma once
// A pool's metrics for Prometheus and OTLP. docs/metrics.md lists them.

#include "telemetry/event_bus.hpp"
#include "telemetry/stats_metrics.hpp"

#include <snakepit/options.hpp>
#include <snakepit/stats.hpp>

#include <prometheus/metric_family.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace snakepit::detail {

/** Counts what the bus tells, and asks for stats when somebody reads.

    No label has more values than the pool has parts: tools, groups, workers, and the names of errors. What callers make
    up is none of them; a call whose tool was not found is counted with an empty one.

    @par Thread safety  every member from any thread */
class pool_metrics {
public:
    /// Counts from now on.
    /// @param stats  called by `collect` and `text`, and at no other time
    /// @param rpc    whether calls are measured as OpenTelemetry's conventions have it, too
    pool_metrics(event_bus& bus, std::function<pool_stats()> stats, queue_limits limits, bool rpc = false);
    ~pool_metrics();

    /// By name; those without a value are left out.
    [[nodiscard]] std::vector<prometheus::MetricFamily> collect() const;
    /// The same in Prometheus' text format 0.0.4.
    [[nodiscard]] std::string text() const;

private:
    class counts;

    const std::function<pool_stats()> stats_;
    const queue_limits limits_;
    const std::unique_ptr<counts> counts_;
    const event_subscription subscription_;
    const std::shared_ptr<void> listening_;  // to calls
};

/// Of all groups of these options.
[[nodiscard]] queue_limits queue_limits_of(const pool_options& options);

}  // namespace snakepit::detail
