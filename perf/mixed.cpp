// What fast calls suffer from slow ones, and interactive calls from a flood of batch calls.

#include "measured_pool.hpp"
#include "perf_report.hpp"

#include <snakepit/async.hpp>

#include <algorithm>
#include <asio/bind_executor.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace snakepit::perf {
namespace {

using namespace std::chrono_literals;

constexpr int workers = 4;
constexpr auto stretch = 1'000ms;
constexpr int rounds = 9;

float p99(std::vector<float> of) {
    if (of.empty()) throw std::runtime_error("no call has ended");
    const auto at = of.begin() + static_cast<std::ptrdiff_t>(of.size() * 99 / 100);
    std::nth_element(of.begin(), at, of.end());
    return *at;
}

pool_options four_workers() {
    auto o = options_for("flow_tools", workers);
    o.queue_limit = 200;
    return o;
}

class mixed_pool {
public:
    mixed_pool() : pool_(four_workers()) {}

    [[nodiscard]] pool_stats stats() { return pool_.it().stats(); }

    /// Callers make a call of `tool` each, pause, and again; meanwhile others do as they like until `over`.
    /// @return  the latencies
    std::vector<float> measure(
        int callers, const std::string& tool, const value& arguments, call_options with,
        std::chrono::microseconds pause,
        const std::vector<std::function<asio::awaitable<void>(pool&, const bool& over)>>& meanwhile) {
        std::vector<float> latencies;
        latencies.reserve(1 << 18);
        bool over = false;
        io_.restart();
        const auto start = clock::now();
        int running = callers;
        auto others = meanwhile.size();
        for (const auto& each : meanwhile)
            asio::co_spawn(io_, each(pool_.it(), over), [&](std::exception_ptr failed) {
                if (failed) std::rethrow_exception(failed);
                if (--others == 0 && over) io_.stop();
            });
        for (int i = 0; i < callers; ++i)
            asio::co_spawn(
                io_,
                [&, i]() -> asio::awaitable<void> {
                    asio::steady_timer timer(io_);
                    if (pause.count() > 0) {  // not all at once
                        timer.expires_after(pause * i / callers);
                        co_await timer.async_wait(asio::use_awaitable);
                    }
                    do {
                        const auto began = clock::now();
                        const auto reply = co_await pool_.it().execute(tool, arguments, with);
                        latencies.push_back(microseconds_since(began));
                        expect(reply);
                        if (pause.count() == 0) continue;
                        timer.expires_after(pause);
                        co_await timer.async_wait(asio::use_awaitable);
                    } while (clock::now() < start + stretch);
                    if (--running > 0) co_return;
                    over = true;
                    if (others == 0) io_.stop();
                },
                asio::detached);
        io_.run();
        pool_.run([this](pool& p) -> asio::awaitable<void> {
            asio::steady_timer timer(io_);
            for (auto s = p.stats(); s.queued + s.in_flight > 0; s = p.stats()) {
                timer.expires_after(1ms);
                co_await timer.async_wait(asio::use_awaitable);
            }
        });
        return latencies;
    }

private:
    measured_pool pool_;
    asio::io_context& io_ = pool_.io();
};

using side_job = std::function<asio::awaitable<void>(pool&, const bool& over)>;

/// One call of a slow tool each second, the first one after a part of it.
side_job slow_calls(std::string tool, std::chrono::milliseconds first) {
    return [tool = std::move(tool), first](pool& p, const bool& over) -> asio::awaitable<void> {
        asio::steady_timer timer(co_await asio::this_coro::executor);
        timer.expires_after(first);
        co_await timer.async_wait(asio::use_awaitable);
        const value slow = value::array({200});
        if (!over) (void)co_await p.execute(tool, slow);
    };
}

/// Batch calls that nobody waits for, three times as many as the workers can do.
side_job flood(std::chrono::microseconds each) {
    return [each](pool& p, const bool& over) -> asio::awaitable<void> {
        const auto on = co_await asio::this_coro::executor;
        asio::steady_timer timer(on);
        const auto start = clock::now();
        const value two = value::array({2});
        const auto batch = call_options().priority(priority::batch);
        double made = 0;
        while (!over) {
            timer.expires_after(1ms);
            co_await timer.async_wait(asio::use_awaitable);
            const auto due =
                3.0 * workers * static_cast<double>((clock::now() - start) / 1us) / static_cast<double>(each.count());
            for (; made < due; ++made)
                async_execute(p, "rest", two, batch, asio::bind_executor(on, [](const auto&...) {}));
        }
    };
}

void run() {
    report to;
    const value twenty_us = value::array({20});
    const value no_time = value::array({0});
    {
        mixed_pool pool;
        std::vector<double> ratios;
        std::vector<double> surprises;
        std::vector<double> alone_us;
        std::vector<side_job> known;
        std::vector<side_job> unforeseen;
        for (int w = 0; w < workers; ++w) {
            known.push_back(slow_calls("rest", stretch * w / workers));
            unforeseen.push_back(slow_calls("sometimes", stretch * w / workers));
        }
        (void)pool.measure(32, "spin", twenty_us, {}, 0us, known);  // now it is known what they take
        for (int round = 0; round < rounds; ++round) {
            const auto alone = p99(pool.measure(32, "spin", twenty_us, {}, 0us, {}));
            const auto beside = p99(pool.measure(32, "spin", twenty_us, {}, 0us, known));
            alone_us.push_back(alone);
            ratios.push_back(beside / alone);
            const auto fast = p99(pool.measure(32, "sometimes", no_time, {}, 0us, {}));
            surprises.push_back(p99(pool.measure(32, "sometimes", no_time, {}, 0us, unforeseen)) / fast);
        }
        to.row("mixed.alone_p99", median(alone_us), "us", "a tool of 20 us, C=32, N=4");
        to.at_most(2, "mixed.p99_ratio", median(ratios), "x",
                   "p99 beside one call of 200 ms per worker and second, to that without; rounds in turn");
        to.row("mixed.surprise_p99_ratio", median(surprises), "x",
               "the same when the slow ones are calls of the fast tool itself");
        to.row("mixed.recalled", static_cast<double>(pool.stats().recalled), "calls", "taken back from workers");
    }
    mixed_pool pool;
    std::vector<double> ratios;
    std::vector<double> alone_us;
    const value two_ms = value::array({2});
    const auto interactive = call_options().priority(priority::interactive);
    const std::vector<side_job> batch = {flood(2'300us)};
    for (int round = 0; round < rounds; ++round) {
        const auto alone = p99(pool.measure(2, "rest", two_ms, interactive, 10ms, {}));
        const auto beside = p99(pool.measure(2, "rest", two_ms, interactive, 10ms, batch));
        alone_us.push_back(alone);
        ratios.push_back(beside / alone);
    }
    to.row("priority.alone_p99", median(alone_us), "us", "interactive calls of 2 ms, 2 callers with pauses, N=4");
    to.at_most(2, "priority.p99_ratio", median(ratios), "x",
               "p99 beside a flood of batch calls, three times what the workers can do, to that without");
}

}  // namespace
}  // namespace snakepit::perf

int main() { return snakepit::perf::run_suite("mixed", snakepit::perf::run); }
