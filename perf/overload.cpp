// What is left of a pool's service when three times as much is asked of it as it can do, and when one worker is slow.

#include "echo/measured.hpp"
#include "perf_report.hpp"

#include <snakepit/async.hpp>
#include <snakepit/pool.hpp>

#include <algorithm>
#include <asio/bind_executor.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace snakepit::perf {
namespace {

using namespace std::chrono_literals;

constexpr auto deadline = 250ms;  // of each call that comes whether the pool keeps up or not
constexpr auto stretch = 20s;     // for which too much is asked
constexpr double too_much = 3;
constexpr int slow_rounds = 7;

float p99(std::vector<float> of) {
    if (of.empty()) throw std::runtime_error("no call has ended");
    const auto at = of.begin() + static_cast<std::ptrdiff_t>(of.size() * 99 / 100);
    std::nth_element(of.begin(), at, of.end());
    return *at;
}

pool_options options(int workers) {
    pool_options o;
    o.module = "overload_tools";
    o.python_path = {std::getenv("SNAKEPIT_PERF_SOURCES")};
    o.workers = {.min = workers};
    return o;
}

/// Runs `body(pool)` with a pool of its own.
template <class F>
void with_pool(int workers, F body) {
    asio::io_context io;
    pool p(io.get_executor(), options(workers));
    std::exception_ptr failed;
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
            if (const auto up = co_await p.start(); !up) throw std::runtime_error(up.error().full());
            co_await body(p, io);
            (void)co_await p.stop();
        },
        [&](std::exception_ptr e) {
            failed = e;
            if (e) io.stop();
        });
    io.run();
    if (failed) std::rethrow_exception(failed);
}

/// Callers that make one call after the other.
asio::awaitable<std::vector<float>> closed_loop(pool& p, asio::io_context& io, int callers, std::string tool,
                                                value arguments, clock::duration time) {
    std::vector<float> latencies;
    asio::steady_timer done(io, clock::time_point::max());
    const auto start = clock::now();
    int running = callers;
    for (int i = 0; i < callers; ++i)
        asio::co_spawn(
            io,
            [&]() -> asio::awaitable<void> {
                while (clock::now() - start < time) {
                    const auto begun = clock::now();
                    const auto reply = co_await p.execute(tool, arguments);
                    if (!reply) throw std::runtime_error(reply.error().full());
                    latencies.push_back(std::chrono::duration<float, std::milli>(clock::now() - begun).count());
                }
            },
            [&](std::exception_ptr e) {
                if (e) std::rethrow_exception(e);
                if (--running == 0) done.cancel();
            });
    asio::error_code cancelled;
    co_await done.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    co_return latencies;
}

struct tally {
    std::vector<float> served;
    int begun = 0;
    int ended = 0;
};

/// So many calls per second, whatever becomes of them.
asio::awaitable<void> open_loop(pool& p, asio::io_context& io, double per_second, tally& of) {
    asio::steady_timer next(io);
    const auto start = clock::now();
    while (clock::now() - start < stretch) {
        const auto due = static_cast<int>(std::chrono::duration<double>(clock::now() - start).count() * per_second);
        for (; of.begun < due; ++of.begun)
            async_execute(
                p, "serve", value::array(), call_options().timeout(deadline),
                asio::bind_executor(io.get_executor(), [&of, begun = clock::now()](const result<value>& r) {
                    ++of.ended;
                    if (r) of.served.push_back(std::chrono::duration<float, std::milli>(clock::now() - begun).count());
                }));
        next.expires_after(1ms);
        co_await next.async_wait(asio::use_awaitable);
    }
    while (of.ended < of.begun) {
        next.expires_after(5ms);
        co_await next.async_wait(asio::use_awaitable);
    }
}

void measure_overload(report& table) {
    with_pool(2, [&](pool& p, asio::io_context& io) -> asio::awaitable<void> {
        (void)co_await closed_loop(p, io, 4, "serve", value::array(), 500ms);
        const auto alone = co_await closed_loop(p, io, 4, "serve", value::array(), 3s);
        const auto peak = static_cast<double>(alone.size()) / 3;
        tally of;
        co_await open_loop(p, io, too_much * peak, of);
        const auto goodput = static_cast<double>(of.served.size()) / std::chrono::duration<double>(stretch).count();
        table.row("overload.peak", peak, "calls/s", "closed loop");
        table.at_least(0.9, "overload.goodput_ratio", goodput / peak, "ratio", "replies in time, 3 x asked, to peak");
        table.at_most(2, "overload.p99_over_deadline",
                      p99(of.served) / std::chrono::duration<float, std::milli>(deadline).count(), "ratio",
                      "of those that were served");
    });
}

void measure_slow_worker(report& table) {
    // The same, alternately: one of eight workers takes ten times as long, or none does.
    std::vector<float> ratios;
    with_pool(8, [&](pool& p, asio::io_context& io) -> asio::awaitable<void> {
        for (int i = 0; i < slow_rounds; ++i) {
            const value none = 0;
            const value one = p.workers()[3].pid;
            (void)co_await closed_loop(p, io, 12, "serve_as", none, 200ms);
            const auto alike = p99(co_await closed_loop(p, io, 4, "serve_as", none, 1s));
            (void)co_await closed_loop(p, io, 12, "serve_as", one, 500ms);
            ratios.push_back(p99(co_await closed_loop(p, io, 4, "serve_as", one, 1s)) / alike);
        }
    });
    std::nth_element(ratios.begin(), ratios.begin() + ratios.size() / 2, ratios.end());
    table.at_most(2, "slow_worker.p99_ratio", ratios[ratios.size() / 2], "ratio", "1 of 8 is 10 x slower, to none");
}

}  // namespace
}  // namespace snakepit::perf

int main() {
    snakepit::perf::report table;
    snakepit::perf::measure_overload(table);
    snakepit::perf::measure_slow_worker(table);
}
