// Workers that run several calls at once: how long many calls take that only wait, and what a call costs there.

#include "echo/measured.hpp"
#include "perf_report.hpp"

#include <snakepit/pool.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace snakepit::perf {
namespace {

using namespace std::chrono_literals;

constexpr auto stretch = 400ms;
constexpr int rounds = 5;

/// A pool of one worker on an io_context of its own.
class profile_pool {
public:
    explicit profile_pool(worker_profile profile) : pool_(io_.get_executor(), options(profile)) {
        run([](profile_pool& self) -> asio::awaitable<void> { self.expect(co_await self.pool_.start()); });
    }
    ~profile_pool() {
        run([](profile_pool& self) -> asio::awaitable<void> { (void)co_await self.pool_.stop(); });
    }
    profile_pool(const profile_pool&) = delete;
    profile_pool& operator=(const profile_pool&) = delete;

    /// Seconds until so many calls have ended that were made at once.
    double time(int calls, const std::string& tool, const value& argument) {
        int left = calls;
        int failed = 0;
        io_.restart();
        const auto began = clock::now();
        for (int i = 0; i < calls; ++i)
            asio::co_spawn(
                io_,
                [&]() -> asio::awaitable<void> {
                    const auto reply = co_await pool_.execute(tool, argument);
                    if (!reply) ++failed;
                    if (--left == 0) io_.stop();
                },
                asio::detached);
        io_.run();
        if (failed != 0) throw std::runtime_error("calls failed");
        return std::chrono::duration<double>(clock::now() - began).count();
    }
    measured measure(int callers, const std::string& tool, const value& argument) {
        std::vector<float> latencies;
        latencies.reserve(1 << 18);
        std::size_t wrong = 0;
        int running = callers;
        io_.restart();
        const auto start = clock::now();
        for (int i = 0; i < callers; ++i)
            asio::co_spawn(
                io_,
                [&]() -> asio::awaitable<void> {
                    do {
                        const auto began = clock::now();
                        const auto reply = co_await pool_.execute(tool, argument);
                        latencies.push_back(microseconds_since(began));
                        if (!reply || *reply != argument) ++wrong;
                    } while (clock::now() < start + stretch);
                    if (--running == 0) io_.stop();
                },
                asio::detached);
        io_.run();
        return measured::of(std::move(latencies), wrong, clock::now() - start);
    }

private:
    static pool_options options(worker_profile profile) {
        const char* sources = std::getenv("SNAKEPIT_PERF_SOURCES");
        if (!sources) throw std::runtime_error("SNAKEPIT_PERF_SOURCES is not set: run ./dev perf");
        pool_options o;
        o.module = "profile_tools";
        o.python_path = {sources};
        o.workers.min = 1;
        o.profile = profile;
        o.threads_per_worker = 4;
        o.max_concurrency = 1'000;
        return o;
    }
    template <class R>
    void expect(const R& outcome) {
        if (!outcome) throw std::runtime_error(outcome.error().full());
    }
    void run(const std::function<asio::awaitable<void>(profile_pool&)>& what) {
        std::exception_ptr failed;
        io_.restart();
        asio::co_spawn(io_, what(*this), [&](std::exception_ptr e) {
            failed = std::move(e);
            io_.stop();
        });
        io_.run();
        if (failed) std::rethrow_exception(failed);
    }

    asio::io_context io_{1};
    pool pool_;
};

void run() {
    report to;
    std::size_t wrong = 0;
    const value payload = std::string(100, 'x');
    const auto echoes = [&](profile_pool& pool, const std::string& name, const std::string& tool) {
        for (const int callers : {1, 32}) {
            std::vector<double> rates;
            for (int round = 0; round < rounds; ++round) {
                const auto m = pool.measure(callers, tool, payload);
                rates.push_back(m.calls_per_second);
                wrong += m.wrong;
            }
            to.row(fmt::format("{}.echo_c{}", name, callers), median(rates), "calls/s", "one worker");
        }
    };
    {
        profile_pool threads(worker_profile::thread);
        threads.time(4, "sleep", 0.01);
        std::vector<double> seconds;
        for (int round = 0; round < 3; ++round) seconds.push_back(threads.time(4, "sleep", 1.0));
        to.at_most(1.1, "threads.four_sleeps_s", median(seconds), "s", "four sleeps of 1 s, one worker, 4 threads");
        echoes(threads, "threads", "echo");
    }
    {
        profile_pool loop(worker_profile::async);
        loop.time(1'000, "sleep_async", 0.0);
        std::vector<double> seconds;
        for (int round = 0; round < rounds; ++round) seconds.push_back(loop.time(1'000, "sleep_async", 0.1));
        to.at_most(0.5, "async.thousand_sleeps_s", median(seconds), "s",
                   "1,000 calls of asyncio.sleep(0.1), one worker");
        echoes(loop, "async", "echo_async");
    }
    to.at_most(0, "profiles.wrong_values", static_cast<double>(wrong), "values", "every value is compared");
}

}  // namespace
}  // namespace snakepit::perf

int main() { return snakepit::perf::run_suite("profiles", snakepit::perf::run); }
