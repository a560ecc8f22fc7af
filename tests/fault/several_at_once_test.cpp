// Workers that run several calls at once: what their profiles promise, and what becomes of the calls when they die.

#include "support/pool_fixture.hpp"

#include <snakepit/host_tools.hpp>

#include <csignal>
#include <deque>

namespace snakepit::test {
namespace {

struct manner {
    worker_profile profile;
    lane_kind lane;
    start_method start;
};

std::string name_of(const manner& m) {
    return std::string(m.profile == worker_profile::thread ? "Thread" : "Async") +
           (m.lane == lane_kind::direct ? "Direct" : "Iterator") + (m.start == start_method::fork ? "Fork" : "Spawn");
}

constexpr int width = 8;

class SeveralAtOnce : public PoolTest, public testing::WithParamInterface<manner> {
protected:
    [[nodiscard]] pool_options several(int workers = 1) const {
        auto how = options("several");
        how.profile = GetParam().profile;
        how.lane = GetParam().lane;
        how.start_method = GetParam().start;
        how.threads_per_worker = how.max_concurrency = width;
        how.workers.min = workers;
        how.restart_backoff.first = 5ms;
        how.restart_backoff.longest = 50ms;
        how.restart_limit.per_worker = how.restart_limit.per_pool = 1'000;
        return how;
    }
    /// The tool as this profile has it.
    [[nodiscard]] static std::string tool(const std::string& name) {
        return GetParam().profile == worker_profile::async ? name + "_async" : name;
    }
    [[nodiscard]] std::size_t begun() const { return line_count(scratch().path() / "begun"); }
    void go() const { scratch().write("go", ""); }

    struct outcomes {
        std::deque<std::optional<result<value>>> all;
        std::size_t ended = 0;
    };
    static std::shared_ptr<outcomes> call(pool& p, const std::string& tool, int count, const value& argument,
                                          const call_options& how = call_options()) {
        auto made = std::make_shared<outcomes>();
        made->all.resize(static_cast<std::size_t>(count));
        for (int i = 0; i < count; ++i)
            async_execute(p, tool, argument, how, [made, i](result<value> r) {
                made->all[static_cast<std::size_t>(i)] = std::move(r);
                ++made->ended;
            });
        return made;
    }
};
INSTANTIATE_TEST_SUITE_P(Profile, SeveralAtOnce,
                         testing::Values(manner{worker_profile::thread, lane_kind::direct, start_method::fork},
                                         manner{worker_profile::thread, lane_kind::iterator, start_method::spawn},
                                         manner{worker_profile::async, lane_kind::direct, start_method::fork},
                                         manner{worker_profile::async, lane_kind::iterator, start_method::spawn}),
                         [](const auto& each) { return name_of(each.param); });

TEST_P(SeveralAtOnce, AllThatTheWorkerHasRoomForRunsAtTheSameTime) {
    with_pool(several(), [](pool& p) -> awaitable<> {
        auto met = call(p, tool("meet"), width, width);
        CO_ASSERT(co_await comes_true([&] { return met->ended == width; }, 20s * slow));
        std::set<std::int64_t> ids;
        for (const auto& each : met->all) {
            CO_ASSERT_OK(*each);
            ids.insert((**each).get<std::int64_t>());
        }
        EXPECT_EQ(ids.size(), static_cast<std::size_t>(width)) << "each has its own current_call()";
    });
}

TEST_P(SeveralAtOnce, RoomIsThereAlsoWhenFewerCallsPerWorkerAreAskedFor) {
    auto how = several();
    how.calls_per_worker = 1;
    with_pool(how, [](pool& p) -> awaitable<> {
        auto met = call(p, tool("meet"), width, width);
        CO_ASSERT(co_await comes_true([&] { return met->ended == width; }, 20s * slow));
        for (const auto& each : met->all) EXPECT_OK(*each);
    });
}

TEST_P(SeveralAtOnce, ADeadlineEndsItsCallAlone) {
    with_pool(several(), [this](pool& p) -> awaitable<> {
        auto stays = call(p, tool("begin"), width - 1, "stays");
        CO_ASSERT(co_await comes_true([&] { return begun() == width - 1; }));
        const auto late = co_await p.execute(tool("begin"), "late", call_options().timeout(100ms));
        EXPECT_TRUE(failed_with(late, errc::deadline_exceeded));
        CO_ASSERT_OK(co_await p.execute("echo", 1));  // its place is free
        EXPECT_EQ(stays->ended, 0u);
        go();
        CO_ASSERT(co_await comes_true([&] { return stays->ended == width - 1; }));
        for (const auto& each : stays->all) EXPECT_OK(*each);
        EXPECT_EQ(p.stats().workers[0].restarts, 0u);
    });
}

TEST_P(SeveralAtOnce, AKillFailsWhatRanWithTheCauseAndNothingElse) {
    with_pool(several(), [this](pool& p) -> awaitable<> {
        auto ran = call(p, tool("begin"), width, "ran");
        CO_ASSERT(co_await comes_true([&] { return begun() == width; }));
        auto waited = call(p, "pid", 5, value::array());
        CO_ASSERT(
            co_await comes_true([&] { return p.stats().workers[0].outstanding + p.stats().queued == width + 5; }));
        const auto pid = p.stats().workers[0].pid;
        ::kill(pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return ran->ended == width && waited->ended == 5; }));
        for (const auto& each : ran->all) {
            EXPECT_TRUE(failed_saying(*each, errc::worker_lost, "signal 9 (SIGKILL)", "and ran " + tool("begin")));
        }
        for (const auto& each : waited->all) {
            CO_ASSERT_OK(*each);
            EXPECT_NE(**each, value(pid)) << "they had not begun";
        }
    });
}

TEST_P(SeveralAtOnce, WhatWaitsForTheMainThreadHasNotBegunWhenTheWorkerDies) {
    with_pool(several(), [this](pool& p) -> awaitable<> {
        auto calls = call(p, "begin_main", 3, "main");
        CO_ASSERT(co_await comes_true([&] { return begun() == 1 && p.stats().workers[0].outstanding == 3; }));
        ::kill(p.stats().workers[0].pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return begun() == 2; }, 30s * slow));
        go();
        CO_ASSERT(co_await comes_true([&] { return calls->ended == 3; }));
        int lost = 0;
        for (const auto& each : calls->all) lost += failed_with(*each, errc::worker_lost) ? 1 : 0;
        EXPECT_EQ(lost, 1);
        EXPECT_EQ(p.stats().moved, 2u);
    });
}

TEST_P(SeveralAtOnce, WhatWaitsForTheMainThreadGoesToAWorkerWhoseMainThreadIsIdle) {
    with_pool(several(), [this](pool& p) -> awaitable<> {
        auto calls = call(p, "begin_main", 3, "main");
        CO_ASSERT(co_await comes_true([&] { return begun() == 1 && p.stats().workers[0].outstanding == 3; }));
        const worker_count two{2, 2};
        CO_ASSERT_OK(co_await p.resize(two));
        CO_ASSERT(co_await comes_true([&] { return begun() == 2; }, 30s * slow));
        EXPECT_EQ(p.stats().recalled, 1u);
        go();
        CO_ASSERT(co_await comes_true([&] { return calls->ended == 3; }));
        for (const auto& each : calls->all) EXPECT_OK(*each);
    });
}

TEST_P(SeveralAtOnce, WhatEndedBesideOnesThatRunKeepsItsReply) {
    with_pool(several(), [this](pool& p) -> awaitable<> {
        for (int round = 0; round < 5; ++round) {
            fs::remove(scratch().path() / "begun");
            auto ran = call(p, tool("begin"), width - 1, "ran");
            CO_ASSERT(co_await comes_true([&] { return begun() == width - 1; }));
            std::size_t wrong = 0;
            auto fast = call(p, "echo", 200, round);
            CO_ASSERT(co_await comes_true([&] { return fast->ended > 20; }));
            ::kill(p.stats().workers[0].pid, SIGKILL);
            CO_ASSERT(co_await comes_true([&] { return fast->ended == 200 && ran->ended == width - 1; }));
            for (const auto& each : fast->all)
                if (*each && **each != value(round)) ++wrong;
            EXPECT_EQ(wrong, 0u);
            for (const auto& each : ran->all) EXPECT_TRUE(failed_with(*each, errc::worker_lost));
            CO_ASSERT(co_await comes_true([&] { return is_whole(p); }));
        }
    });
}

TEST_P(SeveralAtOnce, WhatDoesNoHarmIsRunAgainOnceAndThenIsPoison) {
    with_pool(several(), [this](pool& p) -> awaitable<> {
        auto ran = call(p, "begin_again", 3, "again");
        CO_ASSERT(co_await comes_true([&] { return begun() == 3; }));
        ::kill(p.stats().workers[0].pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return begun() == 6; }));
        EXPECT_EQ(ran->ended, 0u);
        ::kill(p.stats().workers[0].pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return ran->ended == 3; }));
        for (const auto& each : ran->all) EXPECT_TRUE(failed_with(*each, errc::poison_call));
    });
}

TEST_P(SeveralAtOnce, ACallThatDoesNotStopCostsTheWorkerAndTheOthersMayFinish) {
    auto how = several();
    how.cancel_grace = 1s * slow;
    how.drain_timeout = 20s * slow;
    with_pool(how, [this](pool& p) -> awaitable<> {
        auto ran = call(p, tool("begin"), width - 1, "ran");
        CO_ASSERT(co_await comes_true([&] { return begun() == width - 1; }));
        std::optional<result<value>> stuck;
        async_execute(p, tool("never_stops"), "stuck", call_options().timeout(1s * slow),
                      [&](result<value> r) { stuck = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return begun() == width; }));
        const auto pid = p.stats().workers[0].pid;
        auto waited = call(p, "pid", 3, value::array());
        CO_ASSERT(co_await comes_true([&] { return stuck.has_value(); }));
        EXPECT_TRUE(failed_with(*stuck, errc::deadline_exceeded));
        co_await wait_for(1s * slow + 100ms);  // into the time that the others have
        go();
        CO_ASSERT(co_await comes_true([&] { return ran->ended == width - 1 && waited->ended == 3; }));
        for (const auto& each : ran->all) EXPECT_OK(*each);
        for (const auto& each : waited->all) {
            CO_ASSERT_OK(*each);
            EXPECT_NE(**each, value(pid)) << "they had not begun";
        }
    });
}

TEST_P(SeveralAtOnce, SessionsAndHostToolsServeAllThatAskAtOnce) {
    auto how = several();
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        auto tools = p.host_tools();
        EXPECT_OK(tools.add("back", [](std::int64_t v) { return v; }));
        CO_ASSERT_OK(co_await p.start());
        std::size_t ended = 0;
        std::size_t wrong = 0;
        for (int i = 0; i < 200; ++i) {
            const auto in = call_options().session("s" + std::to_string(i % 20));
            const value write = value::array({"v" + std::to_string(i), i});
            async_execute(p, tool("remember"), write, in, [&, i](const result<value>& r) {
                ++ended;
                if (!r || *r != value::array({0, i})) ++wrong;
            });
            async_execute(p, tool("ask_host"), i, call_options(), [&, i](const result<value>& r) {
                ++ended;
                if (!r || *r != i) ++wrong;
            });
        }
        EXPECT_TRUE(co_await comes_true([&] { return ended == 400; }, 20s * slow));
        EXPECT_EQ(wrong, 0u);
        EXPECT_OK(co_await p.stop());
    });
}

TEST_P(SeveralAtOnce, NestedCallsUseThePlacesThatAreLeftAndEndWhenThereIsNone) {
    with_pool(several(), [](pool& p) -> awaitable<> {
        auto tools = p.host_tools();
        EXPECT_OK(tools.add("again", [&p](int depth) -> awaitable<result<value>> {
            if (depth == 0) co_return value("bottom");
            co_return co_await p.execute(tool("nest"), depth - 1);
        }));
        const auto deep = co_await p.execute(tool("nest"), width - 1);
        CO_ASSERT_OK(deep);
        EXPECT_EQ(*deep, "bottom");
        EXPECT_TRUE(failed_saying(co_await p.execute(tool("nest"), width), errc::tool_raised, "would"));
        auto many = call(p, tool("nest"), width - 1, 1);
        CO_ASSERT(co_await comes_true([&] { return many->ended == width - 1; }, 20s * slow));
        for (const auto& each : many->all) EXPECT_OK(*each);
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_P(SeveralAtOnce, AWorkerIsReplacedUnderLoadWithoutFailures) {
    auto how = several(2);
    how.lifecycle.max_calls = 100;
    with_pool(
        how,
        [](pool& p) -> awaitable<> {
            auto all = call(p, "echo", 2'000, 7);
            CO_ASSERT(co_await comes_true([&] { return all->ended == 2'000; }, 40s * slow));
            for (const auto& each : all->all) EXPECT_OK(*each);
        },
        60s * slow);
}

TEST_P(SeveralAtOnce, StopLetsFinishWhatRuns) {
    std::shared_ptr<outcomes> ran;
    with_pool(several(), [&](pool& p) -> awaitable<> {
        ran = call(p, tool("begin"), width, "ran");
        CO_ASSERT(co_await comes_true([&] { return begun() == width; }));
        go();
    });
    ASSERT_EQ(ran->ended, static_cast<std::size_t>(width));
    for (const auto& each : ran->all) EXPECT_OK(*each);
}

TEST_P(SeveralAtOnce, AModuleThatDoesNotSayThatItCanIsRefused) {
    auto how = several();
    how.module = "everyday";
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        const auto up = co_await p.start();
        EXPECT_TRUE(failed_saying(up, errc::invalid_options, "@snakepit.tool(thread_safe=True)"));
        EXPECT_OK(co_await p.stop());
    });
}

}  // namespace
}  // namespace snakepit::test
