#pragma once
// How long to wait before a worker is started again.

#include <algorithm>
#include <chrono>
#include <random>

namespace snakepit::detail {

/// Doubles from first to longest, each with up to a quarter more or less, so that workers do not start in step.
class backoff {
public:
    using duration = std::chrono::milliseconds;

    backoff(duration first, duration longest) : first_(first), longest_(longest), next_(first) {}

    /// @param up  how long the worker had been up
    [[nodiscard]] duration after(std::chrono::steady_clock::duration up) {
        if (up >= longest_) next_ = first_;
        const auto base = next_;
        next_ = std::min(next_ * 2, longest_);
        std::uniform_real_distribution<double> jitter(0.75, 1.25);
        return std::chrono::duration_cast<duration>(base * jitter(random_));
    }

private:
    duration first_;
    duration longest_;
    duration next_;
    std::minstd_rand random_{std::random_device{}()};
};

}  // namespace snakepit::detail
