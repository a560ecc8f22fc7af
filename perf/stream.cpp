// Streams: how many items, how soon the first one, and what a reader costs who does not read.

#include "measured_pool.hpp"
#include "perf_report.hpp"

#include <unistd.h>
#include <algorithm>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace snakepit::perf {
namespace {

using namespace std::chrono_literals;

constexpr int rounds = 9;
constexpr int items = 150'000;
constexpr int first_items = 3'000;

double resident_mb(const std::string& process) {
    std::size_t size = 0;
    std::size_t resident = 0;
    std::ifstream("/proc/" + process + "/statm") >> size >> resident;
    return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

asio::awaitable<double> items_per_second(pool& p, std::size_t& wrong) {
    const auto began = clock::now();
    auto s = co_await p.stream("numbers", items);
    int next = 0;
    while (auto item = co_await s.next()) wrong += *item == next++ ? 0 : 1;
    expect(co_await s.result());
    wrong += next == items ? 0 : 1;
    co_return items / std::chrono::duration<double>(clock::now() - began).count();
}

/// One after the other in turns, so that both meet the same machine.
asio::awaitable<double> first_item_ratio(pool& p) {
    std::vector<float> echo;
    std::vector<float> first;
    const value text = std::string(100, 'x');
    const value once = value::array({1, 100});
    for (int i = 0; i < first_items; ++i) {
        auto began = clock::now();
        expect(co_await p.execute("echo", text));
        echo.push_back(microseconds_since(began));
        began = clock::now();
        auto s = co_await p.stream("texts", once);
        if (!co_await s.next()) throw std::runtime_error("no item came");
        first.push_back(microseconds_since(began));
        expect(co_await s.result());
    }
    const auto p50 = [](std::vector<float>& all) {
        const auto middle = all.begin() + std::ssize(all) / 2;
        std::nth_element(all.begin(), middle, all.end());
        return static_cast<double>(*middle);
    };
    co_return p50(first) / p50(echo);
}

/// The more that host or worker has grown by while nobody reads 1 GB.
asio::awaitable<double> backpressure_mb(pool& p) {
    const auto worker = std::to_string(p.stats().workers.at(0).pid);
    const auto host_before = resident_mb("self");
    const auto worker_before = resident_mb(worker);
    const value gigabyte = value::array({1 << 20, 1 << 10});
    auto s = co_await p.stream("texts", gigabyte);
    if (!co_await s.next()) throw std::runtime_error("no item came");
    double most = 0;
    asio::steady_timer pause(co_await asio::this_coro::executor);
    for (int i = 0; i < 200; ++i) {
        pause.expires_after(10ms);
        co_await pause.async_wait(asio::use_awaitable);
        most = std::max({most, resident_mb("self") - host_before, resident_mb(worker) - worker_before});
    }
    co_return most;
}

asio::awaitable<void> measure(pool& p) {
    std::size_t wrong = 0;
    (void)co_await items_per_second(p, wrong);
    std::vector<double> rates;
    std::vector<double> ratios;
    for (int round = 0; round < rounds; ++round) {
        rates.push_back(co_await items_per_second(p, wrong));
        if (round % 3 == 0) ratios.push_back(co_await first_item_ratio(p));
    }
    report to;
    to.at_least(150'000, "stream.items_per_second", median(rates), "items/s", "numbers of one generator, N=1");
    to.at_most(1.5, "stream.first_item_ratio", median(ratios), "x",
               "p50 until the first item, to that of an echo; 100 bytes, in turns");
    to.at_most(32, "stream.backpressure_mb", co_await backpressure_mb(p), "MB",
               "more memory of host or worker, whichever has more, while nobody reads 1 GB");
    to.at_most(0, "stream.wrong_items", static_cast<double>(wrong), "items", "every item is compared");
}

void run() { measured_pool(options_for("stream_tools", 1)).run(measure); }

}  // namespace
}  // namespace snakepit::perf

int main() { return snakepit::perf::run_suite("stream", snakepit::perf::run); }
