#pragma once
// What was done to one variable of one session, to be asked about any moment.

#include "stress/chaos/session_history.hpp"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace snakepit::chaos {

/// The greatest value of all that have come by a time. First `add` them all, then `sort`, then ask.
template <class T>
class greatest_so_far {
public:
    void add(clock::time_point at, T what) { all_.emplace_back(at, what); }
    void sort() {
        std::sort(all_.begin(), all_.end());
        for (std::size_t i = 1; i < all_.size(); ++i) all_[i].second = std::max(all_[i].second, all_[i - 1].second);
    }
    /// Of all before this time; T() when there are none.
    [[nodiscard]] T before(clock::time_point at) const {
        const auto is_before = [](const std::pair<clock::time_point, T>& a, clock::time_point b) {
            return a.first < b;
        };
        const auto end = std::lower_bound(all_.begin(), all_.end(), at, is_before);
        return end == all_.begin() ? T() : std::prev(end)->second;
    }

private:
    std::vector<std::pair<clock::time_point, T>> all_;
};

/// How many have come by a time.
class count_so_far {
public:
    void add(clock::time_point at) { all_.push_back(at); }
    void sort() { std::sort(all_.begin(), all_.end()); }
    [[nodiscard]] std::uint64_t before(clock::time_point at) const {
        return static_cast<std::uint64_t>(std::lower_bound(all_.begin(), all_.end(), at) - all_.begin());
    }

private:
    std::vector<clock::time_point> all_;
};

struct timeline {
    greatest_so_far<std::uint64_t> versions;            ///< of acknowledged writes, by their acknowledgement
    greatest_so_far<clock::time_point> writes_began;    ///< of these when they began
    greatest_so_far<clock::time_point> changes_began;   ///< the same, acknowledged erasures included
    greatest_so_far<clock::time_point> erasures_ended;  ///< of all that may have been, by when they began

    void sort() {
        versions.sort();
        writes_began.sort();
        changes_began.sort();
        erasures_ended.sort();
    }
};

}  // namespace snakepit::chaos
