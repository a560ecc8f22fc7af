#pragma once
// Pools of real Python workers in tests: runs coroutines against a hard deadline, and afterwards looks whether anything
// is left: a process, a descriptor, a socket, a directory.

#include "support/surroundings.hpp"

#include <snakepit/async.hpp>
#include <snakepit/pool.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include <gtest/gtest.h>
#include <algorithm>
#include <chrono>
#include <concepts>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <vector>

namespace snakepit {
/// How gtest prints what a test holds.
inline void PrintTo(const error& e, std::ostream* to) { *to << e.full(); }
}  // namespace snakepit

namespace snakepit::test {

template <class T = void>
using awaitable = asio::awaitable<T>;

/// The value, or a failure of the test that shows the error.
#define CO_ASSERT(condition)                                \
    if (const bool co_assert_holds = !!(condition); true) { \
        EXPECT_TRUE(co_assert_holds) << #condition;         \
        if (!co_assert_holds) co_return;                    \
    }
/// As CO_ASSERT for a result.
#define CO_ASSERT_OK(outcome)                                                  \
    if (const auto& co_assert_outcome = (outcome); !co_assert_outcome) {       \
        ADD_FAILURE() << #outcome << ": " << co_assert_outcome.error().full(); \
        co_return;                                                             \
    }
#define EXPECT_OK(outcome)                                       \
    if (const auto& expect_outcome = (outcome); !expect_outcome) \
        ADD_FAILURE() << #outcome << ": " << expect_outcome.error().full();

/// "EXPECT_TRUE(failed_with(outcome, errc::...))": prints what came instead.
template <class T>
testing::AssertionResult failed_with(const result<T>& outcome, errc wanted) {
    if (outcome)
        return testing::AssertionFailure() << "succeeded, but was to fail with " << make_error_code(wanted).message();
    if (outcome.error() == wanted) return testing::AssertionSuccess() << outcome.error().full();
    return testing::AssertionFailure() << "was to fail with \"" << make_error_code(wanted).message()
                                       << "\", but: " << outcome.error().full();
}
/// The same, and the message (without traceback and output) contains each of the texts.
template <class T, class... Texts>
testing::AssertionResult failed_saying(const result<T>& outcome, errc wanted, const Texts&... texts) {
    if (auto r = failed_with(outcome, wanted); !r) return r;
    const std::string& said = outcome.error().message();
    for (const std::string& t : {std::string(texts)...})
        if (said.find(t) == said.npos)
            return testing::AssertionFailure() << "\"" << t << "\" is not in: " << outcome.error().full();
    return testing::AssertionSuccess() << outcome.error().full();
}

/// It takes calls.
[[nodiscard]] inline bool serves(const worker_stats& w) {
    return w.state == worker_state::ready || w.state == worker_state::executing;
}
/// All its workers do.
[[nodiscard]] inline bool is_whole(const pool& p) {
    const auto all = p.stats().workers;
    return std::all_of(all.begin(), all.end(), serves);
}

/** Base of tests with a pool. Its TearDown fails the test when something is left behind.

    `io` belongs to the test; what `run` leaves in it is destroyed before the check. */
class PoolTest : public testing::Test {
protected:
    PoolTest();
    ~PoolTest() override;
    void SetUp() override;
    void TearDown() override;

    /// Options with the module given, the tests' modules on the path, two workers, and the marker by which leftovers
    /// are found.
    [[nodiscard]] pool_options options(std::string module = "everyday") const;
    /// A module of this test alone, found by its options.
    pool_options module_of(const std::string& text);

    /** Runs the io_context until the coroutine that `body` makes is done and nothing else is left to do.

        A test that is not through within `limit` fails, and its program ends, since nothing can be cleaned up then. */
    template <class F>
    void run(F body, clock::duration limit = 30s * slow) {
        auto made = std::make_unique<F>(std::move(body));
        bool done = false;
        asio::co_spawn(*io, (*made)(), [&done](std::exception_ptr failed) {
            done = true;
            if (failed) report(failed);
        });
        drive(limit, [&done] { return done; });
    }
    /// A started pool for `body(pool&)`, which is stopped afterwards; the stop has to succeed and end io.run().
    template <class F>
    void with_pool(pool_options how, F body, clock::duration limit = 30s * slow) {
        auto made = std::make_unique<F>(std::move(body));
        run([&how, &made, this]() -> awaitable<> { return with_pool_on(*io, how, *made); }, limit);
    }
    /// Runs the context until it has nothing to do; then `done` has to hold.
    void drive(clock::duration limit, const std::function<bool()>& done);
    static void report(const std::exception_ptr& failed);

    std::optional<asio::io_context> io;
    /// The sockets' directories are made in here ($XDG_RUNTIME_DIR).
    [[nodiscard]] const fs::path& runtime() const noexcept { return runtime_->path(); }
    /// For whatever the test wants; removed afterwards.
    [[nodiscard]] const temporary_directory& scratch() const noexcept { return *scratch_; }
    [[nodiscard]] const std::string& marker() const noexcept { return marker_; }
    /// Processes of this test that live, launchers among them.
    [[nodiscard]] std::vector<process_info> processes() const { return processes_with(marker_name + "=" + marker_); }
    /// What is left right now; empty when all is well.
    [[nodiscard]] std::string leftovers() const;
    /// Not looked for at the end of this test: it takes the host's end on itself.
    bool expects_leftovers = false;

    static const std::string marker_name;

private:
    template <class F>
    static awaitable<> with_pool_on(asio::io_context& on, pool_options how, F& body) {
        pool p(on.get_executor(), std::move(how));
        const auto up = co_await p.start();
        if (!up) {
            ADD_FAILURE() << "start: " << up.error().full();
            co_return;
        }
        std::exception_ptr failed;
        try {
            co_await body(p);
        } catch (...) {
            failed = std::current_exception();
        }
        const auto down = co_await p.stop();
        EXPECT_TRUE(down.has_value());
        if (failed) std::rethrow_exception(failed);
    }

    std::string marker_;
    std::unique_ptr<temporary_directory> runtime_;
    std::unique_ptr<temporary_directory> scratch_;
    std::map<int, std::string> descriptors_before_;
};

/// The lanes that a worker may have. Which one it has is Python's affair: C++ does the same with what comes by either,
/// so that a sanitizer looks at one.
inline std::vector<lane_kind> lanes() {
    if (slow > 1) return {lane_kind::direct};
    return {lane_kind::direct, lane_kind::iterator};
}

/// Each lane: `INSTANTIATE_LANES(Fixture)` and TEST_P.
class LaneTest : public PoolTest, public testing::WithParamInterface<lane_kind> {
protected:
    [[nodiscard]] pool_options options(std::string module = "everyday") const {
        auto o = PoolTest::options(std::move(module));
        o.lane = GetParam();
        return o;
    }
};
#define INSTANTIATE_LANES(Fixture)                                                             \
    INSTANTIATE_TEST_SUITE_P(Lane, Fixture, testing::ValuesIn(lanes()), [](const auto& lane) { \
        return lane.param == ::snakepit::lane_kind::direct ? "Direct" : "Iterator";            \
    })

/// Bytes, where g++ 12 cannot have braces: in co_await expressions.
template <class... Items>
value byte_list(Items... items) {
    return bytes(std::vector<std::uint8_t>{static_cast<std::uint8_t>(items)...});
}

/// Waits on the executor it is on.
inline awaitable<> wait_for(clock::duration time) {
    asio::steady_timer t(co_await asio::this_coro::executor, time);
    co_await t.async_wait(asio::use_awaitable);
}
/// As `eventually`, letting the context go on meanwhile.
awaitable<bool> comes_true(std::function<bool()> holds, clock::duration limit = 5s * slow);

}  // namespace snakepit::test
