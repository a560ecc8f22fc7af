#pragma once
// How many bytes of text may go on: so many at once, and so many per second after that.

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace snakepit::detail {

/// Not thread-safe.
class allowance {
public:
    static constexpr std::size_t burst_bytes = std::size_t{1} << 20;
    static constexpr std::size_t bytes_per_second = std::size_t{256} << 10;

    /// @return  false: there have been too many
    [[nodiscard]] bool take(std::size_t bytes) {
        const auto now = clock::now();
        const auto earned = std::chrono::duration<double>(now - earned_at_).count() * double{bytes_per_second};
        left_ = std::min(double{burst_bytes}, left_ + earned);
        earned_at_ = now;
        if (left_ < static_cast<double>(bytes)) return false;
        left_ -= static_cast<double>(bytes);
        return true;
    }

private:
    using clock = std::chrono::steady_clock;
    double left_ = burst_bytes;  // what is earned between two lines may be less than a byte
    clock::time_point earned_at_ = clock::now();
};

}  // namespace snakepit::detail
