// kill -9 of one of four busy workers, twenty times: what it costs, how soon all four are there, what becomes of the
// rate.

#include "faults/loaded_pool.hpp"
#include "perf_report.hpp"

#include <csignal>

namespace snakepit::perf {
namespace {

constexpr int workers = 4;
constexpr int callers = 16;
constexpr int kills = 20;
constexpr auto stretch = 1s;

void run() {
    auto how = loaded_pool::options(workers);
    how.restart_limit.per_worker = how.restart_limit.per_pool = 1'000;
    loaded_pool pool(how);
    pool.begin_load(callers);
    (void)pool.rate(stretch);  // warm

    double lost = 0;
    double beyond = 0;
    std::vector<double> told_ms;
    std::vector<double> whole_ms;
    std::vector<double> ratios;
    for (int i = 0; i < kills; ++i) {
        const auto which = static_cast<std::size_t>(i % workers);
        wait_until([&] { return pool.is_whole(); }, "all workers");
        const auto before = pool.rate(stretch);
        const auto victim = pool.worker(which);
        const auto failed_before = pool.failed();
        const auto served_before = pool.served();
        const auto killed = clock::now();
        ::kill(victim.pid, SIGKILL);
        wait_until([&] { return pool.worker(which).pid != victim.pid; }, "the end of one");
        told_ms.push_back(microseconds_since(killed) / 1e3);
        wait_until([&] { return pool.is_whole() && pool.worker(which).incarnation > victim.incarnation; },
                   "the fourth");
        whole_ms.push_back(microseconds_since(killed) / 1e3);
        std::this_thread::sleep_until(killed + stretch);
        const std::chrono::duration<double> second = clock::now() - killed;
        ratios.push_back(static_cast<double>(pool.served() - served_before) / second.count() / before);
        const auto failed = pool.failed() - failed_before;
        lost += static_cast<double>(failed);
        beyond += beyond_executing(failed);
    }
    (void)pool.end_load();

    report r;
    const auto against =
        fmt::format("{} x kill -9 of one of {} workers, {} callers, 100 B echo", kills, workers, callers);
    r.row("kill.lost", lost, "calls", against);
    r.at_most(0, "kill.lost_beyond_executing", beyond, "calls", "failed, but for one for each kill");
    r.at_most(50, "kill.told_ms_max", *std::max_element(told_ms.begin(), told_ms.end()), "ms",
              "from the kill until the pool has no such worker any more, worst");
    r.at_most(60, "kill.whole_ms_median", median(whole_ms), "ms", "from the kill until all are ready again");
    r.at_most(200, "kill.whole_ms_max", *std::max_element(whole_ms.begin(), whole_ms.end()), "ms", "the same, worst");
    r.at_least(0.9, "kill.throughput_ratio", median(ratios), "x", "the second from the kill on, to the second before");
}

}  // namespace
}  // namespace snakepit::perf

int main() { return snakepit::perf::run_suite("kill", snakepit::perf::run); }
