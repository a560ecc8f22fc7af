#include "cli/latencies.hpp"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

namespace snakepit::cli {

histogram call_durations(std::string_view metrics) {
    constexpr std::string_view name = "snakepit_call_duration_seconds_bucket{";
    histogram found;
    while (!metrics.empty()) {
        const auto line = metrics.substr(0, metrics.find('\n'));
        metrics.remove_prefix(std::min(metrics.size(), line.size() + 1));
        if (!line.starts_with(name)) continue;
        constexpr std::string_view bound_name = "le=\"";
        const auto bound = line.rfind(bound_name);
        const auto close = line.rfind('}');
        if (bound == line.npos || close == line.npos) continue;
        const std::string text(line.substr(bound + bound_name.size()));
        const double limit =
            text.starts_with("+Inf") ? std::numeric_limits<double>::infinity() : std::atof(text.c_str());
        found[limit] += std::atof(std::string(line.substr(close + 1)).c_str());
    }
    return found;
}

histogram difference(const histogram& now, const histogram& before) {
    histogram d = now;
    for (auto& [bound, count] : d)
        if (const auto earlier = before.find(bound); earlier != before.end()) count -= earlier->second;
    return d;
}

std::optional<double> quantile(const histogram& of, double part) {
    if (of.empty() || of.rbegin()->second <= 0) return std::nullopt;
    const double wanted = part * of.rbegin()->second;
    double lower = 0;
    double below = 0;
    for (const auto& [bound, count] : of) {
        if (count >= wanted) {
            if (std::isinf(bound)) return lower;
            return count > below ? lower + (bound - lower) * (wanted - below) / (count - below) : bound;
        }
        lower = bound;
        below = count;
    }
    return lower;
}

}  // namespace snakepit::cli
