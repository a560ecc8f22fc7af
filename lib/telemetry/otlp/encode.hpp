#pragma once
// Metrics as OTLP has them, and what they have in common with spans.

#include "snakepit/otlp/otlp.pb.h"
#include "telemetry/span.hpp"

#include <prometheus/metric_family.h>

#include <chrono>
#include <cstdint>
#include <vector>

namespace snakepit::detail {

/// Since 1970, as all times in OTLP.
[[nodiscard]] std::uint64_t nanoseconds(std::chrono::system_clock::time_point t);
/// Who says it all.
[[nodiscard]] otlp::InstrumentationScope own_scope();
/// The host's attributes with those of one of its processes, which come first where both have one; what the host says
/// of its own process is not said of another.
[[nodiscard]] otlp::Resource resource_of(const resource_attributes& host, const resource_attributes& process);

/// All points cumulative. What OpenTelemetry's conventions have a name for is there by that name as well.
/// @param since  when counting began
[[nodiscard]] otlp::ExportMetricsServiceRequest encode(const std::vector<prometheus::MetricFamily>& families,
                                                       const resource_attributes& host,
                                                       std::chrono::system_clock::time_point since);

}  // namespace snakepit::detail
