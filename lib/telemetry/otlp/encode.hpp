#pragma once
// Spans and metrics as OTLP has them.

#include "snakepit/otlp/otlp.pb.h"
#include "telemetry/span.hpp"

#include <prometheus/metric_family.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace snakepit::detail {

using resource_attributes = std::vector<std::pair<std::string, attribute>>;

/// About, of what `encode` makes of it.
[[nodiscard]] std::size_t encoded_size(const span& s);
/// Spans of one process are one resource: the host's with what `span::process` says.
[[nodiscard]] otlp::ExportTraceServiceRequest encode(const std::vector<span>& spans, const resource_attributes& host);

/// All points cumulative.
/// @param since  when counting began
[[nodiscard]] otlp::ExportMetricsServiceRequest encode(const std::vector<prometheus::MetricFamily>& families,
                                                       const resource_attributes& host,
                                                       std::chrono::system_clock::time_point since);

}  // namespace snakepit::detail
