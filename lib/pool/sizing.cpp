#include "pool/sizing.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <numeric>
#include <string>
#include <tuple>

namespace snakepit::detail {
namespace {

constexpr int most_workers = 1'000;
constexpr std::size_t most_coming = 8;
constexpr int looks_per_idle_time = 4;  // a worker that is busy now goes that part of `down_after` too late

/// The most useless first; among equals the one that came last.
std::vector<std::size_t> by_use(const std::vector<worker_view>& workers) {
    std::vector<std::size_t> order(workers.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, {},
                      [&](std::size_t i) { return std::tuple(workers[i].is, workers[i].load, workers.size() - i); });
    return order;
}

}  // namespace

std::vector<option_mistake> mistakes_of(worker_count wanted, std::size_t queue_limit) {
    std::vector<option_mistake> found;
    if (wanted.min < 0 || wanted.min > most_workers)
        found.push_back({"workers.min", std::to_string(wanted.min), fmt::format("0 to {}", most_workers)});
    if (wanted.max != 0 && (wanted.max < std::max(wanted.min, 1) || wanted.max > most_workers))
        found.push_back(
            {"workers.max", std::to_string(wanted.max), fmt::format("0, or workers.min to {}", most_workers)});
    if (wanted.min == 0 && queue_limit == 0)
        found.push_back({"workers.min", "0",
                         fmt::format("1 to {} when queue_limit is 0: without a queue no call could "
                                     "wait for the first worker",
                                     most_workers)});
    return found;
}

std::string describe(const std::vector<option_mistake>& mistakes) {
    std::string all;
    for (const auto& m : mistakes)
        all += fmt::format("{}{} is {}, allowed: {}", all.empty() ? "" : "; ", m.field, m.value, m.allowed);
    return all;
}

std::size_t most_of(worker_count wanted) { return static_cast<std::size_t>(std::max({1, wanted.min, wanted.max})); }

sizing size_for(worker_count wanted, const scaling_options& how, const std::vector<worker_view>& workers,
                const backlog& calls, worker_view::time_point now) {
    sizing plan;
    const auto least = static_cast<std::size_t>(wanted.min);
    const auto most = most_of(wanted);
    auto size = workers.size();
    const auto serving =
        static_cast<std::size_t>(std::ranges::count(workers, worker_view::condition::serving, &worker_view::is));

    if (size < least) {
        plan.hire = least - size;
    } else if (size == 0 && calls.waiting > 0) {
        plan.hire = 1;
    } else if (calls.too_long && size < most) {
        const auto may_come = std::clamp<std::size_t>(serving, 1, most_coming);
        const auto coming = size - serving;
        if (coming < may_come) plan.hire = std::min({may_come - coming, calls.waiting, most - size});
    }

    for (const auto i : by_use(workers)) {
        const auto& w = workers[i];
        const bool too_many = size > most;
        const bool idle = size > least && w.idle_since && *w.idle_since + how.down_after <= now;
        if (too_many || idle) {
            plan.dismiss.push_back(i);
            --size;
        }
    }
    if (size <= least) return plan;
    plan.look_again = now + how.down_after / looks_per_idle_time;
    for (const auto& w : workers) {
        if (!w.idle_since) continue;
        const auto due = *w.idle_since + how.down_after;
        if (due > now) plan.look_again = std::min(plan.look_again, due);
    }
    return plan;
}

}  // namespace snakepit::detail
