#pragma once
// Closed-loop figures of one kind of echo.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace snakepit::perf {

using clock = std::chrono::steady_clock;

/// What some callers, each with one call at a time, have seen in one stretch of time.
struct measured {
    double calls_per_second = 0;
    double p50_us = 0;
    double p99_us = 0;
    std::size_t wrong = 0;  ///< replies that were errors or not what was sent

    static measured of(std::vector<float> latencies_us, std::size_t wrong, clock::duration took) {
        measured m;
        m.wrong = wrong;
        m.calls_per_second = static_cast<double>(latencies_us.size()) / std::chrono::duration<double>(took).count();
        if (latencies_us.empty()) return m;
        std::sort(latencies_us.begin(), latencies_us.end());
        m.p50_us = latencies_us[latencies_us.size() / 2];
        m.p99_us = latencies_us[latencies_us.size() * 99 / 100];
        return m;
    }
};

inline float microseconds_since(clock::time_point start) {
    return std::chrono::duration<float, std::micro>(clock::now() - start).count();
}

inline double median(std::vector<double> v) {
    std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
    return v[v.size() / 2];
}

}  // namespace snakepit::perf
