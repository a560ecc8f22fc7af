#pragma once
// What calls add to a histogram of times, until somebody reads it.

#include <prometheus/histogram.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace snakepit::detail {

/** Sorts times into the buckets of a histogram. Histogram::Observe looks at memory in a dozen places, and little of it
    is in the cache still when a call comes back from its worker; each call is in three histograms. This lies together.

    @par Thread safety  one thread at a time */
class time_tally {
public:
    using nanoseconds = std::chrono::nanoseconds;

    /// As the histogram has them. A time that is as long as one of them belongs below it.
    static prometheus::Histogram::BucketBoundaries boundaries() {
        prometheus::Histogram::BucketBoundaries all;
        for (const auto limit : limits) all.push_back(seconds(limit));
        return all;
    }
    void add(nanoseconds time) noexcept {
        ++counts_[static_cast<std::size_t>(std::ranges::lower_bound(limits, time) - limits.begin())];
        sum_ += seconds(time);
    }
    /// Nothing is left here.
    void move_to(prometheus::Histogram& histogram) {
        if (counts_ == decltype(counts_){}) return;
        histogram.ObserveMultiple(std::vector<double>(counts_.begin(), counts_.end()), sum_);
        *this = {};
    }

private:
    static constexpr auto limits = [] {
        using us = std::chrono::microseconds;
        using ms = std::chrono::milliseconds;
        using s = std::chrono::seconds;
        return std::to_array<nanoseconds>({us(50), us(100), us(250), us(500), ms(1), us(2'500), ms(5), ms(10), ms(25),
                                           ms(50), ms(100), ms(250), ms(500), s(1), ms(2'500), s(5), s(10), s(30),
                                           s(60)});
    }();
    static double seconds(nanoseconds time) noexcept { return std::chrono::duration<double>(time).count(); }

    std::array<std::uint64_t, limits.size() + 1> counts_{};
    double sum_ = 0;
};

}  // namespace snakepit::detail
