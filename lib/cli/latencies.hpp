#pragma once
// Quantiles of how long calls took, from a pool's metrics.

#include <map>
#include <optional>
#include <string_view>

namespace snakepit::cli {

/// Upper bounds in seconds, and how many calls took no longer: as Prometheus's histograms have it.
using histogram = std::map<double, double>;

/// snakepit_call_duration_seconds of all labels together. Empty when the text has none.
[[nodiscard]] histogram call_durations(std::string_view metrics);
/// What has come between.
[[nodiscard]] histogram difference(const histogram& now, const histogram& before);
/// As Prometheus's histogram_quantile() has it: within a bucket as if calls were spread evenly there.
/// @return  nothing: there was no call
[[nodiscard]] std::optional<double> quantile(const histogram& of, double part);

}  // namespace snakepit::cli
