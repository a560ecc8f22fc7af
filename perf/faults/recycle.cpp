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

struct comparison {
    std::vector<double> with_us;
    std::vector<double> without_us;
    std::vector<double> ratios;
    std::uint64_t failed = 0;
    std::uint64_t times = 0;
};

comparison compare(const std::string& tool) {
    auto how = loaded_pool::options(workers);
    loaded_pool lasting(how, tool);
    how.lifecycle.max_calls = max_calls;
    loaded_pool recycled(how, tool);
    (void)p99_us(lasting);  // warm
    (void)p99_us(recycled);

    comparison c;
    const auto recycles_before = recycles_of(recycled);
    for (int round = 0; round < rounds; ++round) {
        c.without_us.push_back(p99_us(lasting));
        c.with_us.push_back(p99_us(recycled));
        c.ratios.push_back(c.with_us.back() / c.without_us.back());
    }
    c.failed = recycled.failed();
    c.times = recycles_of(recycled) - recycles_before;
    return c;
}

void run() {
    report r;
    const auto paced = compare("echo_after_1_ms");
    const auto against = fmt::format("{} calls of 1 ms, {} callers, {} workers, each replaced every {} calls", calls,
                                     callers, workers, max_calls);
    r.at_most(0, "recycle.failed", static_cast<double>(paced.failed), "calls", against);
    r.row("recycle.times", static_cast<double>(paced.times), "times");
    r.row("recycle.p99_us", median(paced.with_us), "us");
    r.row("recycle.never.p99_us", median(paced.without_us), "us", "the same without replacement");
    r.at_most(1.5, "recycle.p99_ratio", median(paced.ratios), "x", "without replacement, in turns");

    // Calls that cost less than the replacements do: processors that are busy with starts have less for calls.
    const auto echo = compare("echo");
    r.at_most(0, "recycle.echo.failed", static_cast<double>(echo.failed), "calls", "the same with an echo");
    r.row("recycle.echo.times", static_cast<double>(echo.times), "times",
          "fewer: one worker at a time, and 500 echoes are over sooner than a start");
    r.row("recycle.echo.p99_ratio", median(echo.ratios), "x", "without replacement, in turns");
}

}  // namespace
}  // namespace snakepit::perf

int main() { return snakepit::perf::run_suite("recycle", snakepit::perf::run); }
