// Workers that run several calls at once: how long many calls take that only wait, and what a call costs there.

#include "measured_pool.hpp"
#include "perf_report.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

namespace snakepit::perf {
namespace {

using namespace std::chrono_literals;

constexpr auto stretch = 400ms;
constexpr int rounds = 5;

pool_options one_worker(worker_profile profile) {
    auto o = options_for("profile_tools", 1);
    o.profile = profile;
    o.threads_per_worker = 4;
    o.max_concurrency = 1'000;
    return o;
}

/// Seconds until so many calls have ended that were made at once.
double time(measured_pool& pool, int calls, const std::string& tool, const value& argument) {
    int left = calls;
    int failed = 0;
    pool.io().restart();
    const auto began = clock::now();
    for (int i = 0; i < calls; ++i)
        asio::co_spawn(
            pool.io(),
            [&]() -> asio::awaitable<void> {
                const auto reply = co_await pool.it().execute(tool, argument);
                if (!reply) ++failed;
                if (--left == 0) pool.io().stop();
            },
            asio::detached);
    pool.io().run();
    if (failed != 0) throw std::runtime_error("calls failed");
    return std::chrono::duration<double>(clock::now() - began).count();
}

void run() {
    report to;
    std::size_t wrong = 0;
    const value payload = std::string(100, 'x');
    const auto echoes = [&](measured_pool& pool, const std::string& name, const std::string& tool) {
        for (const int callers : {1, 32}) {
            std::vector<double> rates;
            for (int round = 0; round < rounds; ++round) {
                const auto m =
                    pool.measure(callers, stretch, payload, [&](int) { return pool.it().execute(tool, payload); });
                rates.push_back(m.calls_per_second);
                wrong += m.wrong;
            }
            to.row(fmt::format("{}.echo_c{}", name, callers), median(rates), "calls/s", "one worker");
        }
    };
    {
        measured_pool threads(one_worker(worker_profile::thread));
        time(threads, 4, "sleep", 0.01);
        std::vector<double> seconds;
        for (int round = 0; round < 3; ++round) seconds.push_back(time(threads, 4, "sleep", 1.0));
        to.at_most(1.1, "threads.four_sleeps_s", median(seconds), "s", "four sleeps of 1 s, one worker, 4 threads");
        echoes(threads, "threads", "echo");
    }
    {
        measured_pool loop(one_worker(worker_profile::async));
        time(loop, 1'000, "sleep_async", 0.0);
        std::vector<double> seconds;
        for (int round = 0; round < rounds; ++round) seconds.push_back(time(loop, 1'000, "sleep_async", 0.1));
        to.at_most(0.5, "async.thousand_sleeps_s", median(seconds), "s",
                   "1,000 calls of asyncio.sleep(0.1), one worker");
        echoes(loop, "async", "echo_async");
    }
    to.at_most(0, "profiles.wrong_values", static_cast<double>(wrong), "values", "every value is compared");
}

}  // namespace
}  // namespace snakepit::perf

int main() { return snakepit::perf::run_suite("profiles", snakepit::perf::run); }
