// Sessions and their workers: what Python keeps of a session is there in its next call, or the call says that it moved.

#include "support/pool_fixture.hpp"

#include <fmt/format.h>
#include <csignal>

namespace snakepit::test {
namespace {

class AffinityOfSessions : public LaneTest {
protected:
    [[nodiscard]] pool_options remembering(int workers) const {
        auto o = options("rememberers");
        o.workers.min = workers;
        o.calls_per_worker = 8;
        return o;
    }
    static call_options in(std::string key, affinity how) {
        return call_options().session(std::move(key)).affinity(how).timeout(20s * slow);
    }
};
INSTANTIATE_LANES(AffinityOfSessions);

/// What a session's calls have seen.
struct history {
    int pid = 0;
    int served = 0;  // by that process
    int calls = 0;
    int moves = 0;
};

/// One call after the other. Each is served by the process of the one before, which remembers that, or says that it
/// has moved to one that knows nothing of it.
awaitable<> keep_calling(pool& p, std::string key, call_options how, const bool& over, history& seen, int& open) {
    const value nothing = value::array();
    while (!over) {
        auto got = co_await p.execute_reply("remember", nothing, how);
        if (!got) {
            ADD_FAILURE() << key << ": " << got.error().full();
            break;
        }
        const int pid = got->result[0].get<int>();
        const int served = got->result[1].get<int>();
        EXPECT_FALSE(got->worker.empty());
        const bool is_first = seen.calls == 0;
        if (is_first || got->moved) {
            EXPECT_FALSE(is_first && got->moved) << key << ": moved, but from where?";
            EXPECT_NE(pid, seen.pid) << key;
            EXPECT_EQ(served, 1) << key;
        } else {
            EXPECT_EQ(pid, seen.pid) << key << ": moved, and did not say so";
            EXPECT_EQ(served, seen.served + 1) << key;
        }
        seen = {pid, served, seen.calls + 1, seen.moves + (got->moved ? 1 : 0)};
    }
    --open;
}

TEST_P(AffinityOfSessions, StrictCallsAreWhereTheirSessionIsWhileWorkersAreReplacedAndDie) {
    with_pool(
        remembering(4),
        [this](pool& p) -> awaitable<> {
            constexpr int sessions = 100;
            std::vector<history> seen(sessions);
            bool over = false;
            int open = sessions;
            for (int i = 0; i < sessions; ++i) {
                const auto key = fmt::format("s{}", i);
                auto how = in(key, affinity::strict);
                how.idempotent();  // the one that a killed worker runs is run again
                auto calls = keep_calling(p, key, std::move(how), over, seen[static_cast<std::size_t>(i)], open);
                asio::co_spawn(*io, std::move(calls), [](std::exception_ptr failed) {
                    if (failed) report(failed);
                });
            }
            for (int round = 0; round < 2; ++round) {
                co_await wait_for(50ms);
                CO_ASSERT_OK(co_await p.recycle("w0"));
                CO_ASSERT_OK(co_await p.recycle_all());
                ::kill(p.stats().workers[1].pid, SIGKILL);
            }
            co_await wait_for(100ms);
            over = true;
            CO_ASSERT(co_await comes_true([&] { return open == 0; }, 20s * slow));
            int calls = 0;
            int moves = 0;
            for (const auto& s : seen) {
                EXPECT_GT(s.calls, 10);
                calls += s.calls;
                moves += s.moves;
            }
            EXPECT_GE(moves, 2 * sessions) << "every worker was replaced twice";
            fmt::print("{} calls, {} moves\n", calls, moves);
        },
        90s * slow);
}

TEST_P(AffinityOfSessions, AHotSessionStarvesNobody) {
    with_pool(remembering(2), [](pool& p) -> awaitable<> {
        const auto first = co_await p.execute_reply("remember", list(0), in("hot", affinity::strict));
        CO_ASSERT_OK(first);
        int open = 0;
        for (int i = 0; i < 200; ++i) {
            ++open;
            async_execute_reply(p, "remember", list(0.02), in("hot", affinity::strict),
                                [&, at = first->worker](auto r) {
                                    EXPECT_OK(r);
                                    if (r) {
                                        EXPECT_EQ(r->worker, at);
                                        EXPECT_FALSE(r->moved);
                                    }
                                    --open;
                                });
        }
        const auto begun = clock::now();
        for (int i = 0; i < 50; ++i) {
            CO_ASSERT_OK(co_await p.execute("echo", i));
            CO_ASSERT_OK(co_await p.execute("remember", list(0), in(fmt::format("s{}", i), affinity::strict)));
        }
        EXPECT_LT(clock::now() - begun, 2s * slow) << "the hot one takes 4 s";
        EXPECT_GT(open, 0);
        const auto busy = co_await p.execute("remember", list(0), in("hot", affinity::strict_fail_fast));
        EXPECT_TRUE(failed_with(busy, errc::session_busy));
        CO_ASSERT(co_await comes_true([&] { return open == 0; }, 20s * slow));
    });
}

TEST_P(AffinityOfSessions, MayEndWithTheirWorker) {
    auto how = remembering(2);
    how.sessions.affinity = affinity::strict;
    how.sessions.when_worker_goes = when_worker_goes::fail;
    with_pool(how, [](pool& p) -> awaitable<> {
        const auto s = call_options().session("s");
        const auto first = co_await p.execute_reply("remember", list(0), s);
        CO_ASSERT_OK(first);
        CO_ASSERT_OK(co_await p.recycle(first->worker));
        EXPECT_TRUE(failed_with(co_await p.execute_reply("remember", list(0), s), errc::session_moved));
        const auto anew = co_await p.execute_reply("remember", list(0), s);
        CO_ASSERT_OK(anew);
        EXPECT_TRUE(anew->moved);
        EXPECT_EQ(anew->result[1], 1);
        const auto next = co_await p.execute_reply("remember", list(0), s);
        CO_ASSERT_OK(next);
        EXPECT_FALSE(next->moved);
        EXPECT_EQ(next->result[1], 2);
    });
}

TEST_P(AffinityOfSessions, TheReplySaysWhoServedAlsoWithout) {
    with_pool(remembering(1), [](pool& p) -> awaitable<> {
        const auto plain = co_await p.execute_reply("echo", 7);
        CO_ASSERT_OK(plain);
        EXPECT_EQ(plain->result, 7);
        EXPECT_EQ(plain->worker, "w0");
        EXPECT_FALSE(plain->moved);
        EXPECT_TRUE(failed_with(co_await p.execute_reply("nothing"), errc::unknown_tool));
        const auto raised = co_await p.execute_reply("fail", "no");
        CO_ASSERT(failed_with(raised, errc::tool_raised));
        EXPECT_EQ(raised.error().worker(), "w0");
    });
}

}  // namespace
}  // namespace snakepit::test
