// kill -9 of the same worker, twenty times in five seconds: what it costs, and whether all is as before a second later.

#include "faults/loaded_pool.hpp"
#include "perf_report.hpp"

#include <csignal>

namespace snakepit::perf {
namespace {

constexpr int workers = 4;
constexpr int callers = 16;
constexpr int kills = 20;
constexpr auto gap = 250ms;
constexpr int rounds = 3;
constexpr auto stretch = 1s;

void run() {
    auto how = loaded_pool::options(workers);
    how.restart_limit.per_worker = how.restart_limit.per_pool = 1'000;
    how.restart_backoff.longest = 100ms;
    loaded_pool pool(how);
    pool.begin_load(callers);
    (void)pool.rate(stretch);  // warm

    double beyond = 0;
    double missing = 0;
    std::vector<double> ratios;
    for (int round = 0; round < rounds; ++round) {
        const auto before = pool.rate(stretch);
        const auto begun = clock::now();
        const auto failed_before = pool.failed();
        for (int i = 0; i < kills; ++i) {
            std::this_thread::sleep_until(begun + i * gap);
            wait_until([&] { return pool.worker(0).pid != 0; }, "a process to kill");
            ::kill(pool.worker(0).pid, SIGKILL);
        }
        const auto last = clock::now();
        std::this_thread::sleep_until(last + 1s);
        if (!pool.is_whole()) ++missing;
        ratios.push_back(pool.rate(stretch) / before);
        beyond += beyond_executing(pool.failed() - failed_before, kills);
    }
    (void)pool.end_load();

    report r;
    const auto against = fmt::format("{} x kill -9 of one worker in 5 s, {} rounds", kills, rounds);
    r.at_most(0, "storm.lost_beyond_executing", beyond, "calls", "failed, but for one for each kill; " + against);
    r.at_most(0, "storm.not_whole", missing, "rounds", "a worker is not ready 1 s after the last kill");
    r.at_least(0.9, "storm.capacity_ratio", median(ratios), "x",
               "rate from 1 s after the last kill on, to that before");
}

}  // namespace
}  // namespace snakepit::perf

int main() { return snakepit::perf::run_suite("storm", snakepit::perf::run); }
