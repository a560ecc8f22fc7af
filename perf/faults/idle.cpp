// A pool of eight workers that has nothing to do: what it uses of the processor, this process included.

#include "faults/descendants.hpp"
#include "faults/loaded_pool.hpp"
#include "perf_report.hpp"

#include <unistd.h>
#include <ctime>

namespace snakepit::perf {
namespace {

constexpr int workers = 8;
constexpr auto stretch = 15s;

/// All that a process has used. Its clock rather than /proc/PID/stat, which counts in hundredths of a second.
double cpu_seconds(int pid) {
    clockid_t its_clock{};
    timespec used{};
    if (::clock_getcpuclockid(pid, &its_clock) != 0 || ::clock_gettime(its_clock, &used) != 0)
        throw std::runtime_error("a process of the pool has gone");
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

void run() {
    loaded_pool pool(loaded_pool::options(workers));
    std::this_thread::sleep_for(2s);  // the start's last work: heartbeats begin after a second
    auto all = descendants_of(::getpid());
    if (all.size() < workers + 1) throw std::runtime_error("the pool's processes are not to be found");
    all.push_back(::getpid());
    std::map<int, double> before;
    for (const int pid : all) before[pid] = cpu_seconds(pid);
    const auto begun = clock::now();
    std::this_thread::sleep_for(stretch);
    const double seconds = std::chrono::duration<double>(clock::now() - begun).count();
    double used = 0;
    double host = 0;
    for (const int pid : all) {
        const auto its = cpu_seconds(pid) - before[pid];
        used += its;
        if (pid == ::getpid()) host = its;
    }

    report r;
    r.row("idle.host_cpu_percent", host / seconds * 100, "%", "of one core, this process alone");
    r.at_most(2.5, "idle.cpu_percent", used / seconds * 100, "%",
              fmt::format("of one core: {} workers, zygote, launcher and host, {} s", workers, stretch.count()));
}

}  // namespace
}  // namespace snakepit::perf

int main() { return snakepit::perf::run_suite("idle", snakepit::perf::run); }
