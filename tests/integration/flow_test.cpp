// Calls behind one that turns out to be slow go to other workers.

#include "support/pool_fixture.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <asio/redirect_error.hpp>
#include <fstream>

namespace snakepit::test {
namespace {

constexpr const char* tools = R"(
import os
import time

import snakepit


@snakepit.tool
def work(gate):
    """Fast unless it is told to wait for a file."""
    while gate and not os.path.exists(gate):
        time.sleep(0.001)
    return os.getpid()


@snakepit.tool
def count(gate):
    while gate and not os.path.exists(gate):
        time.sleep(0.001)
    s = snakepit.session()
    s["n"] = s.get("n", 0) + 1
    return s["n"]
)";

class FlowOfCalls : public LaneTest {
protected:
    /// One call that waits for a gate, which opens when all the others have ended. These are made at the same time.
    awaitable<> round(pool& p, const char* tool, int fast, int number, bool in_sessions) {
        const auto gate = scratch().path() / fmt::format("gate{}", number);
        int open = fast;
        bool slow_ended = false;
        asio::steady_timer changed(*io, clock::time_point::max());
        const auto call = [&](bool is_slow, int i) -> awaitable<> {
            auto how = call_options().timeout(20s * slow);
            if (in_sessions) how.session(is_slow ? "slow" : fmt::format("s{}", i)).affinity(affinity::hint);
            const value arguments = value::array({is_slow ? gate.string() : ""});
            const auto got = co_await p.execute(tool, arguments, how);
            EXPECT_OK(got);
            if (is_slow) {
                slow_ended = true;
            } else {
                EXPECT_FALSE(slow_ended);
                if (--open == 0) std::ofstream(gate).put('x');
            }
            changed.cancel();
        };
        asio::co_spawn(*io, call(true, 0), report_failed);
        for (int i = 0; i < fast; ++i) asio::co_spawn(*io, call(false, i), report_failed);
        while (open > 0 || !slow_ended) {
            asio::error_code woken;
            co_await changed.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        }
    }
    static void report_failed(std::exception_ptr failed) {
        if (failed) report(failed);
    }
    /// Enough for the pool to know that the tool is fast.
    static awaitable<> teach(pool& p, const char* tool) {
        const value nothing = value::array({""});
        const auto how = call_options().session("teacher").timeout(20s * slow);
        for (int i = 0; i < 50; ++i) {
            const auto got = co_await p.execute(tool, nothing, how);
            EXPECT_OK(got);
        }
    }
};
INSTANTIATE_LANES(FlowOfCalls);

TEST_P(FlowOfCalls, WhatIsHeldBehindASlowCallIsFinishedByAnotherWorkerBefore) {
    auto how = module_of(tools);
    how.lane = GetParam();
    how.workers.min = 2;
    with_pool(how, [this](pool& p) -> awaitable<> {
        co_await teach(p, "work");
        for (int i = 0; i < 10; ++i) co_await round(p, "work", 40, i, false);
        const auto s = p.stats();
        EXPECT_GT(s.recalled, 0u);
        EXPECT_EQ(s.succeeded, 50u + 10 * 41u);
        for (const auto& w : s.workers) {
            EXPECT_GE(w.credit, 1u) << w.id;
            EXPECT_GT(w.service_time, 0us) << w.id;
            EXPECT_GT(w.round_trip, 0us) << w.id;
        }
    });
}

TEST_P(FlowOfCalls, SessionsLoseNothingWhenTheirCallsAreTakenBack) {
    auto how = module_of(tools);
    how.lane = GetParam();
    how.workers.min = 2;
    with_pool(how, [this](pool& p) -> awaitable<> {
        co_await teach(p, "count");
        constexpr int rounds = 10;
        constexpr int sessions = 40;
        for (int i = 0; i < rounds; ++i) co_await round(p, "count", sessions, i, true);
        for (int i = 0; i < sessions; ++i) {
            auto s = p.session(fmt::format("s{}", i));
            const auto n = co_await s.get("n");
            CO_ASSERT_OK(n);
            CO_ASSERT(n->has_value());
            EXPECT_EQ((*n)->data, value(rounds)) << i;
        }
        EXPECT_GT(p.stats().recalled, 0u);
    });
}

TEST_P(FlowOfCalls, InteractiveCallsGoAheadOfAFloodOfBatchCalls) {
    auto how = module_of(tools);
    how.lane = GetParam();
    how.workers.min = 1;
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto gate = scratch().path() / "gate";
        std::vector<std::string> ended;
        asio::steady_timer changed(*io, clock::time_point::max());
        const auto call = [&](std::string name, std::string waits_for, priority of) -> awaitable<> {
            const value arguments = value::array({std::move(waits_for)});
            const auto with = call_options().priority(of).timeout(20s * slow);
            const auto got = co_await p.execute("work", arguments, with);
            EXPECT_OK(got);
            ended.push_back(std::move(name));
            changed.cancel();
        };
        asio::co_spawn(*io, call("first", gate.string(), priority::batch), report_failed);
        EXPECT_TRUE(co_await comes_true([&] { return p.stats().in_flight == 1; }));
        for (int i = 0; i < 20; ++i) asio::co_spawn(*io, call("batch", "", priority::batch), report_failed);
        EXPECT_TRUE(co_await comes_true([&] { return p.stats().queued_batch == 20; }));
        for (int i = 0; i < 5; ++i) asio::co_spawn(*io, call("now", "", priority::interactive), report_failed);
        EXPECT_TRUE(co_await comes_true([&] { return p.stats().queued_interactive == 5; }));
        std::ofstream(gate).put('x');
        while (ended.size() < 26) {
            asio::error_code woken;
            co_await changed.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        }
        // Among them is the one batch call of 21 whose turn it is.
        EXPECT_EQ(std::count(ended.begin() + 1, ended.begin() + 7, "now"), 5);
    });
}

}  // namespace
}  // namespace snakepit::test
