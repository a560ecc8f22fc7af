// What a session costs in the host alone, with a thousand sessions and with a million: time for each operation, and
// memory. What is timed is what a program does with the sessions of its users, some other one each time: take a handle,
// get two variables and set one. Times are CPU times: neighbours on the machine do not count.

#include "perf_report.hpp"

#include "session/memory_store.hpp"
#include "session/session_host.hpp"
#include "session/session_state.hpp"

#include <snakepit/session.hpp>

#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>
#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace snakepit;
using detail::memory_store;

double cpu_ns() {
    std::timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

double median(std::vector<double> of) {
    const auto middle = of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2);
    std::nth_element(of.begin(), middle, of.end());
    return *middle;
}

std::string key_of(std::size_t i) { return fmt::format("user-{}", i); }

/// So many sessions, each with two small variables, as the handles of a pool reach them.
class rig {
public:
    explicit rig(std::size_t sessions)
        : sessions_(sessions),
          host_(std::make_shared<detail::session_host>(session_options{.max_sessions = sessions})) {
        run([this] { return fill(); });
    }

    /// @return  nanoseconds for each operation
    double operations(int rounds) {
        const auto begin = cpu_ns();
        run([this, rounds] { return use(rounds); });
        return (cpu_ns() - begin) / (3.0 * rounds);
    }
    /// The same without coroutines and values: a read of one variable in some session whose id is known.
    double bare_reads(int n) {
        auto& store = *host_->memory();
        const std::vector<std::string> name{"turns"};
        std::vector<session_id> ids;
        for (int i = 0; i < n; ++i) ids.push_back(store.open(some_key(), memory_store::clock::now()).value());
        std::shuffle(ids.begin(), ids.end(), random_);
        const auto begin = cpu_ns();
        for (const auto& id : ids)
            if (!store.read(id, name, memory_store::clock::now()).value()[0].bytes) std::abort();
        return (cpu_ns() - begin) / n;
    }

private:
    template <class Body>
    static void run(Body body) {
        asio::io_context io(1);
        asio::co_spawn(io, body, [](std::exception_ptr failed) {
            if (failed) std::rethrow_exception(failed);
        });
        io.run();
    }
    static void check(bool holds) {
        if (!holds) std::abort();
    }
    session handle(std::string key) { return session(std::make_shared<detail::session_state>(host_, std::move(key))); }
    std::string some_key() { return key_of(std::uniform_int_distribution<std::size_t>(0, sessions_ - 1)(random_)); }

    asio::awaitable<void> fill() {
        for (std::size_t i = 0; i < sessions_; ++i) {
            auto s = handle(key_of(i));
            check((co_await s.set("name", "alice")).has_value());
            check((co_await s.set("turns", 0)).has_value());
        }
    }
    asio::awaitable<void> use(int rounds) {
        for (int i = 0; i < rounds; ++i) {
            auto s = handle(some_key());
            const auto name = co_await s.get("name");
            const auto turns = co_await s.get("turns");
            check(name && *name && turns && *turns);
            const auto next = (*turns)->data.get<int>() + 1;
            check((co_await s.compare_and_set("turns", (*turns)->version, next)).has_value());
        }
    }

    const std::size_t sessions_;
    const std::shared_ptr<detail::session_host> host_;
    std::mt19937_64 random_{1};
};

double resident() {
    std::ifstream statm("/proc/self/statm");
    double pages = 0;
    statm >> pages >> pages;
    return pages * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

void measure_memory(perf::report& report) {
    constexpr std::size_t sessions = 1'000'000;
    ::malloc_trim(0);
    const auto before = resident();
    memory_store store({.max_sessions = sessions});
    for (std::size_t i = 0; i < sessions; ++i)
        if (!store.open(key_of(i), memory_store::clock::now())) std::abort();
    report.at_most(400, "session.bytes_each", (resident() - before) / sessions, "bytes",
                   "resident, an empty session of 1000000");
}

void measure_time(perf::report& report, int rounds) {
    constexpr int uses = 30'000;
    rig small(1'000);
    rig large(1'000'000);
    std::vector<double> few, many, ratios, few_reads, many_reads;
    for (int r = 0; r < rounds; ++r) {
        few.push_back(small.operations(uses));
        many.push_back(large.operations(uses));
        ratios.push_back(many.back() / few.back());
        few_reads.push_back(small.bare_reads(uses));
        many_reads.push_back(large.bare_reads(uses));
    }
    report.row("session.operation_1000", median(few), "ns", "get 2 variables, set 1, of some of 1000 sessions");
    report.row("session.operation_1000000", median(many), "ns", "the same, 1000000 sessions");
    report.at_most(1.3, "session.scale", median(ratios), "ratio", "1000000 sessions against 1000, median of pairs");
    report.row("session.bare_read_1000", median(few_reads), "ns", "no coroutine, no value; nothing else is done there");
    report.row("session.bare_read_1000000", median(many_reads), "ns", "the same, 1000000 sessions");
}

}  // namespace

int main(int argc, char** argv) {
    const int rounds = argc > 1 ? std::atoi(argv[1]) : 31;
    return snakepit::perf::run_suite("session_store", [&] {
        perf::report report;
        measure_memory(report);
        measure_time(report, rounds);
    });
}
