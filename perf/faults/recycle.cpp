// Workers that are replaced every 500 calls, against workers that stay: no call fails, and the slow ones are no slower.

#include "faults/loaded_pool.hpp"
#include "perf_report.hpp"

namespace snakepit::perf {
namespace {

constexpr int workers = 4;
constexpr int callers = 16;
constexpr std::uint64_t calls = 60'000;
constexpr int rounds = 6;
constexpr std::uint64_t max_calls = 500;

double p99_us(loaded_pool& pool) {
    const auto until = pool.served() + pool.failed() + calls / rounds;
    const auto begun = clock::now();
    pool.begin_load(callers);
    wait_until([&] { return pool.served() + pool.failed() >= until; }, "the calls");
    const auto seen = measured::of(pool.end_load(), 0, clock::now() - begun);
    wait_until([&] { return pool.is_whole(); }, "the last replacement");  // it is not to disturb the next stretch
    return seen.p99_us;
}

std::uint64_t recycles_of(const loaded_pool& pool) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < workers; ++i)
        for (const auto& [why, times] : pool.worker(i).recycles) sum += times;
    return sum;
}

void run() {
    auto how = loaded_pool::options(workers);
    loaded_pool lasting(how);
    how.lifecycle.max_calls = max_calls;
    loaded_pool recycled(how);
    (void)p99_us(lasting);  // warm
    (void)p99_us(recycled);

    const auto recycles_before = recycles_of(recycled);
    std::vector<double> with;
    std::vector<double> without;
    std::vector<double> ratios;
    for (int round = 0; round < rounds; ++round) {
        without.push_back(p99_us(lasting));
        with.push_back(p99_us(recycled));
        ratios.push_back(with.back() / without.back());
    }

    report r;
    const auto against = fmt::format("{} calls, {} callers, {} workers, each replaced every {} calls", calls, callers,
                                     workers, max_calls);
    r.at_most(0, "recycle.failed", static_cast<double>(recycled.failed()), "calls", against);
    r.row("recycle.times", static_cast<double>(recycles_of(recycled) - recycles_before), "times",
          "fewer than calls / 500: one worker at a time, and an echo is over sooner than a start");
    r.row("recycle.p99_us", median(with), "us");
    r.row("recycle.never.p99_us", median(without), "us", "the same without replacement");
    r.at_most(1.5, "recycle.p99_ratio", median(ratios), "x", "without replacement, in turns");
}

}  // namespace
}  // namespace snakepit::perf

int main() {
    try {
        snakepit::perf::run();
    } catch (const std::exception& failed) {
        fmt::print(stderr, "recycle: {}\n", failed.what());
        return 1;
    }
}
