#pragma once
// The metrics that a pool's stats hold already.

#include <snakepit/stats.hpp>

#include <prometheus/metric_family.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace snakepit::detail {

/// How many calls may wait in each group, by its name.
using queue_limits = std::vector<std::pair<std::string, std::size_t>>;

/// Gauges and sums of this moment, with what /proc says about the workers' processes right now.
[[nodiscard]] std::vector<prometheus::MetricFamily> metrics_of(const pool_stats& stats, const queue_limits& limits);

}  // namespace snakepit::detail
