// Many calls of one tool: pool.map against as many callers as its window, and a batch tool against one that runs for
// each call, alternating.

#include "echo/measured.hpp"
#include "perf_report.hpp"

#include <snakepit/pool.hpp>

#include <fmt/format.h>
#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <cstdlib>
#include <functional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

namespace snakepit::perf {
namespace {

using namespace std::chrono_literals;

constexpr auto stretch = 400ms;
constexpr int rounds = 11;

/// A pool on an io_context of its own, run by whoever measures.
class bulk_pool {
public:
    bulk_pool() : pool_(io_.get_executor(), options()) {
        run([this]() -> asio::awaitable<void> { expect(co_await pool_.start()); });
    }
    ~bulk_pool() {
        run([this]() -> asio::awaitable<void> { (void)co_await pool_.stop(); });
    }
    bulk_pool(const bulk_pool&) = delete;
    bulk_pool& operator=(const bulk_pool&) = delete;

    /// Calls per second of so many callers, each with one call at a time.
    double callers(int count, const std::string& tool, const value& sent) {
        std::size_t ended = 0;
        int running = count;
        io_.restart();
        const auto start = clock::now();
        for (int i = 0; i < count; ++i)
            asio::co_spawn(
                io_,
                [&]() -> asio::awaitable<void> {
                    do {
                        const auto reply = co_await pool_.execute(tool, sent);
                        if (!reply || *reply != sent) throw std::runtime_error("wrong: " + said(reply));
                        ++ended;
                    } while (clock::now() < start + stretch);
                    if (--running == 0) io_.stop();
                },
                asio::detached);
        io_.run();
        return static_cast<double>(ended) / std::chrono::duration<double>(clock::now() - start).count();
    }
    /// Items per second of one map.
    double map(std::size_t window, bool ordered, const std::string& tool, const value& sent) {
        std::size_t ended = 0;
        const auto start = clock::now();
        run([&]() -> asio::awaitable<void> {
            const auto how = map_options().window(window).ordered(ordered);
            auto results = pool_.map(tool, std::views::iota(0) | std::views::transform([&](int) { return sent; }), how);
            while (clock::now() < start + stretch) {
                const auto item = co_await results.next();
                if (!item->outcome || *item->outcome != sent) throw std::runtime_error("wrong: " + said(item->outcome));
                ++ended;
            }
        });
        return static_cast<double>(ended) / std::chrono::duration<double>(clock::now() - start).count();
    }

private:
    static pool_options options() {
        pool_options o;
        o.module = "bulk_tools";
        o.python_path = {std::string(std::getenv("SNAKEPIT_PERF_SOURCES"))};
        o.workers.min = 1;
        return o;
    }
    template <class T>
    static void expect(const result<T>& r) {
        if (!r) throw std::runtime_error(r.error().full());
    }
    static std::string said(const result<value>& r) { return r ? r->dump() : r.error().full(); }
    void run(std::function<asio::awaitable<void>()> body) {
        io_.restart();
        asio::co_spawn(io_, body, [this](const std::exception_ptr& escaped) {
            io_.stop();
            if (escaped) std::rethrow_exception(escaped);
        });
        io_.run();
    }

    asio::io_context io_{1};
    pool pool_;
};

/// Figures of two ways, taken in turn: what a neighbour on the machine takes, it takes from both.
struct comparison {
    std::vector<double> ours, theirs, ratios;
    void add(double our, double their) {
        ours.push_back(our);
        theirs.push_back(their);
        ratios.push_back(our / their);
    }
};

void run() {
    bulk_pool pool;
    report r;
    const value payload = std::string(100, 'x');
    comparison ordered, unordered, together;
    (void)pool.callers(128, "echo", payload);
    for (int i = 0; i < rounds; ++i) {
        const auto callers = pool.callers(128, "echo", payload);
        ordered.add(pool.map(128, true, "echo", payload), callers);
        unordered.add(pool.map(128, false, "echo", payload), callers);
        together.add(pool.callers(128, "costly_together", payload), pool.callers(128, "costly", payload));
    }
    const auto against = fmt::format("window 128, one worker, against 128 callers of a 100-byte echo: {:.0f} calls/s",
                                     median(ordered.theirs));
    r.row("map.items_per_second", median(ordered.ours), "items/s");
    r.at_least(0.9, "map.cpp_vs_echo", median(ordered.ratios), "x", against);
    r.row("map.cpp_unordered_vs_echo", median(unordered.ratios), "x", against);
    r.row("batch.calls_per_second", median(together.ours), "calls/s");
    r.row("batch.speedup", median(together.ratios), "x",
          fmt::format("128 callers, 50 us for a batch and 2 us for each call, against {:.0f} calls/s of one by one",
                      median(together.theirs)));
}

}  // namespace
}  // namespace snakepit::perf

int main() { return snakepit::perf::run_suite("bulk", snakepit::perf::run); }
