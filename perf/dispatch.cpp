// What a call costs in the host alone: submit, a frame, its reply, the completion. The workers are fakes in this
// process that answer each frame by a handler of the same io_context, so that nothing waits and nothing is encoded.
// Each caller submits its next call when the last one has ended. Times are CPU times: neighbours on the machine do not
// count.

#include "echo_lane.hpp"
#include "perf_report.hpp"

#include "pool/call.hpp"
#include "pool/limits.hpp"
#include "pool/line.hpp"
#include "pool/switchboard.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace {
std::uint64_t allocations = 0;  // this program has one thread
}

// Not inlined: the compiler would see new paired with free().
[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    if (void* p = std::malloc(size)) return p;
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace {

using namespace snakepit;

double cpu_ns() {
    std::timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

/// A switchboard with its workers and a fixed number of callers, all busy; kept between rounds.
class rig {
public:
    struct shape {
        int workers = 1;
        int credit = 1;  ///< calls per worker
        int callers = 1;
    };

    explicit rig(shape s)
        : board_({.queue = std::size_t{1} << 30,
                  .calls_per_line = s.credit,
                  .in_flight = detail::max_inflight_bytes,
                  .credit = detail::credit_rules::adaptive()},
                 [](auto) {}) {
        board_.open();
        for (int i = 0; i < s.workers; ++i) {
            workers_.push_back(std::make_shared<perf::echo_lane>(io_, board_, shared_));
            workers_.back()->carry(
                board_.connect(fmt::format("w{}", i), {tool_spec{"echo", {}, {}, {}, {}}}, workers_.back()));
        }
        submit();  // alone: from then on it is known what the tool takes
        run(1);
        for (int i = 1; i < s.callers; ++i) submit();
        run(s.callers * 2);
    }
    ~rig() {
        for (const auto& w : workers_) w->unplug();
    }

    /// Lets that many calls end. @return nanoseconds for each
    double run(long calls) {
        left_ = calls;
        io_.restart();
        const auto begin = cpu_ns();
        io_.run();
        return (cpu_ns() - begin) / static_cast<double>(calls);
    }

private:
    void submit() {
        auto c = std::make_shared<detail::call>();
        c->tool = "echo";
        c->arguments.assign(100, 'x');
        c->deadline = detail::call::clock::now() + std::chrono::seconds(30);
        c->done = {[this](result<value> outcome) {
                       if (!outcome) std::abort();
                       if (--left_ == 0) io_.stop();
                       submit();
                   },
                   io_.get_executor()};
        board_.submit(std::move(c));
    }

    asio::io_context io_{1};
    detail::switchboard board_;
    perf::buffers shared_;
    std::vector<std::shared_ptr<perf::echo_lane>> workers_;
    long left_ = 0;
};

struct variant {
    const char* name;
    rig::shape shape;
    std::unique_ptr<rig> made = {};
    std::vector<double> rounds = {};

    [[nodiscard]] double ns() const { return median(rounds); }
    /// Of the pairs that were measured one after the other: what the machine does meanwhile meets both.
    [[nodiscard]] double ratio_to(const variant& other) const {
        std::vector<double> ratios;
        for (std::size_t i = 0; i < rounds.size(); ++i) ratios.push_back(rounds[i] / other.rounds[i]);
        return median(ratios);
    }
    static double median(std::vector<double> of) {
        const auto middle = of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2);
        std::nth_element(of.begin(), middle, of.end());
        return *middle;
    }
};

/// Round by round, so that whatever else the machine does meets all of them.
void measure(std::vector<variant>& all, int rounds, long calls) {
    for (auto& v : all) v.made = std::make_unique<rig>(v.shape);
    for (int r = 0; r < rounds; ++r)
        for (auto& v : all) v.rounds.push_back(v.made->run(calls));
    for (auto& v : all) v.made.reset();
}

}  // namespace

int main(int argc, char** argv) {
    const int rounds = argc > 1 ? std::atoi(argv[1]) : 31;
    constexpr long calls = 100'000;
    perf::report report;

    // One call in a frame everywhere: what is compared is finding the worker, not the company that calls have.
    std::vector<variant> workers;
    workers.push_back({"dispatch.workers_1", {.workers = 1, .credit = 1, .callers = 1000}});
    workers.push_back({"dispatch.workers_10", {.workers = 10, .credit = 1, .callers = 1000}});
    workers.push_back({"dispatch.workers_100", {.workers = 100, .credit = 1, .callers = 1000}});
    workers.push_back({"dispatch.workers_1000", {.workers = 1000, .credit = 1, .callers = 1000}});
    measure(workers, rounds, calls);
    for (const auto& v : workers) report.row(v.name, v.ns(), "ns/call", "1000 callers, one call per worker");
    report.at_most(1.2, "dispatch.scale_workers", workers.back().ratio_to(workers.front()), "ratio",
                   "1000 workers against 1, median of pairs");

    std::vector<variant> waiters;
    constexpr int busy = 2 * 32;
    waiters.push_back({"dispatch.waiters_10", {.workers = 2, .credit = 32, .callers = busy + 10}});
    waiters.push_back({"dispatch.waiters_1000", {.workers = 2, .credit = 32, .callers = busy + 1000}});
    waiters.push_back({"dispatch.waiters_100000", {.workers = 2, .credit = 32, .callers = busy + 100'000}});
    measure(waiters, rounds, calls);
    for (const auto& v : waiters) report.row(v.name, v.ns(), "ns/call", "2 workers, 32 calls each");
    report.at_most(1.2, "dispatch.scale_waiters", waiters.back().ratio_to(waiters.front()), "ratio",
                   "100000 waiters against 10, median of pairs");

    rig typical({.workers = 2, .credit = 32, .callers = 32});
    const auto before = allocations;
    typical.run(calls);
    report.row("dispatch.allocations", static_cast<double>(allocations - before) / calls, "per call",
               "2 workers, 32 callers");
}
