// Sessions: what Python and C++ read and write is one and the same.

#include "support/pool_fixture.hpp"
#include "support/slow_backend.hpp"

#include <snakepit/session.hpp>

#include <fmt/format.h>
#include <csignal>

namespace snakepit::test {
namespace {

class Sessions : public LaneTest {
protected:
    [[nodiscard]] pool_options remembering(int workers = 2) const {
        auto o = options("rememberers");
        o.workers.min = workers;
        return o;
    }
    static call_options in(const char* key) { return call_options().session(key); }
};
INSTANTIATE_LANES(Sessions);

TEST_P(Sessions, PythonAndCppSeeTheSame) {
    with_pool(remembering(), [](pool& p) -> awaitable<> {
        auto alice = p.session("alice");
        const auto set = co_await p.execute("put", list("x", 42), in("alice"));
        CO_ASSERT_OK(set);
        EXPECT_EQ(*set, 42);
        const auto got = co_await alice.get("x");
        CO_ASSERT_OK(got);
        CO_ASSERT(got->has_value());
        EXPECT_EQ((*got)->data, 42);
        const value text = "from C++";
        CO_ASSERT_OK(co_await alice.set("y", text));
        EXPECT_EQ((co_await p.execute("get", list("y"), in("alice"))), text);
        EXPECT_EQ((co_await p.execute("get", list("y"), in("bob"))), nullptr);
    });
}

TEST_P(Sessions, DoAllThatAMappingDoes) {
    with_pool(remembering(), [](pool& p) -> awaitable<> {
        const value nothing = value::array();
        const auto wrong = co_await p.execute("everything", nothing, in("s"));
        CO_ASSERT_OK(wrong);
        EXPECT_EQ(*wrong, nothing);
    });
}

TEST_P(Sessions, AreUsedFromThreads) {
    with_pool(remembering(1), [](pool& p) -> awaitable<> {
        for (int i = 0; i < 5; ++i) {
            const auto sum = co_await p.execute("from_threads", list(4), in("s"));
            CO_ASSERT_OK(sum);
            EXPECT_EQ(*sum, 6);
        }
        const value nothing = value::array();
        const auto all = co_await p.execute("get_all", nothing, in("s"));
        CO_ASSERT_OK(all);
        EXPECT_EQ(all->size(), 5u);
    });
}

TEST_P(Sessions, AreClosedToThreadsThatOutliveTheCall) {
    with_pool(remembering(1), [](pool& p) -> awaitable<> {
        for (int i = 0; i < 10; ++i) {
            const value nothing = value::array();
            CO_ASSERT_OK(co_await p.execute("leave_thread", nothing, in("s")));
            const auto said = co_await p.execute("what_became_of_it");
            CO_ASSERT_OK(said);
            EXPECT_EQ(*said, "the call is over");
            EXPECT_EQ((co_await p.execute("echo", i)), i);
        }
    });
}

TEST_P(Sessions, TellThatTheyWereClosedOrThatThereIsNone) {
    with_pool(remembering(), [](pool& p) -> awaitable<> {
        const value nothing = value::array();
        EXPECT_EQ((co_await p.execute("close_it", nothing, in("s"))), "closed");
        EXPECT_EQ((co_await p.execute("get", list("x"), in("s"))), nullptr) << "another session of that name";
        const auto without = co_await p.execute("without");
        CO_ASSERT_OK(without);
        EXPECT_NE(without->dump().find("without a session"), std::string::npos);
        EXPECT_TRUE(failed_with(co_await p.execute("echo", 1, in(std::string(201, 'x').c_str())), errc::invalid_name));
    });
}

TEST_P(Sessions, CountTogetherWithoutLosingOne) {
    with_pool(
        remembering(),
        [](pool& p) -> awaitable<> {
            constexpr int each = 500;
            auto s = p.session("s");
            int open = 0;
            for (int i = 0; i < each; ++i) {
                ++open;
                async_execute(p, "count_up", list("n"), in("s"), [&](const result<value>& r) {
                    EXPECT_OK(r);
                    --open;
                });
            }
            const std::function<value(std::optional<value>)> one_more = [](std::optional<value> v) {
                return value(v ? v->get<int>() + 1 : 1);
            };
            for (int i = 0; i < each; ++i) CO_ASSERT_OK(co_await s.update("n", one_more));
            CO_ASSERT(co_await comes_true([&] { return open == 0; }, 30s * slow));
            const auto n = co_await s.get("n");
            CO_ASSERT_OK(n);
            CO_ASSERT(n->has_value());
            EXPECT_EQ((*n)->data, 2 * each);
            EXPECT_GE((*n)->version, static_cast<std::uint64_t>(2 * each));
        },
        90s * slow);
}

TEST_P(Sessions, SurviveTheirWorkers) {
    with_pool(remembering(1), [](pool& p) -> awaitable<> {
        CO_ASSERT_OK(co_await p.execute("put", list("x", 1), in("s")));
        ::kill(p.stats().workers[0].pid, SIGKILL);
        EXPECT_EQ((co_await p.execute("get", list("x"), in("s"))), 1);
    });
}

TEST_P(Sessions, HaveTheirLimits) {
    auto how = remembering(1);
    how.sessions.max_variables = 2;
    how.sessions.max_value_bytes = 1'000;
    how.sessions.max_sessions = 2;
    with_pool(how, [](pool& p) -> awaitable<> {
        CO_ASSERT_OK(co_await p.execute("put", list("a", 1), in("s")));
        CO_ASSERT_OK(co_await p.execute("put", list("b", 1), in("s")));
        const auto third = co_await p.execute("put", list("c", 1), in("s"));
        EXPECT_TRUE(failed_saying(third, errc::tool_raised, "SessionLimit"));
        const auto large = co_await p.execute("put", list("a", std::string(2'000, 'x')), in("s"));
        EXPECT_TRUE(failed_saying(large, errc::tool_raised, "SessionLimit"));
        EXPECT_EQ((co_await p.execute("get", list("a"), in("s"))), 1) << "nothing was changed";
        CO_ASSERT_OK(co_await p.execute("put", list("a", 1), in("t")));
        EXPECT_TRUE(failed_with(co_await p.execute("put", list("a", 1), in("u")), errc::too_many_sessions));
    });
}

// What a tool has read before comes along with its next calls, and what it writes need not be waited for.

TEST_P(Sessions, WhatATriedToolReadsIsWhatOthersHaveChangedMeanwhile) {
    with_pool(remembering(2), [&](pool& p) -> awaitable<> {
        auto s = p.session("s");
        for (int i = 0; i < 5; ++i) {
            const auto name = fmt::format("look{}", i);
            const auto path = (scratch().path() / name).string();
            CO_ASSERT_OK(co_await s.set("x", 2 * i));
            std::optional<result<value>> seen;
            async_execute(p, "look_twice", list("x", path), in("s"), [&](result<value> r) { seen = std::move(r); });
            CO_ASSERT(
                co_await comes_true([&] { return fs::exists(scratch().path() / (name + ".looked")); }, 30s * slow));
            CO_ASSERT_OK(co_await s.set("x", 2 * i + 1));
            scratch().write(name, "go on");
            CO_ASSERT(co_await comes_true([&] { return seen.has_value(); }, 30s * slow));
            CO_ASSERT_OK(*seen);
            EXPECT_EQ(**seen, list(2 * i, 2 * i + 1));
        }
    });
}

TEST_P(Sessions, WhatACallHasWrittenIsThereWhenItHasEnded) {
    with_pool(remembering(2), [](pool& p) -> awaitable<> {
        auto s = p.session("s");
        std::uint64_t version = 0;
        for (int i = 0; i < 300; ++i) {
            EXPECT_EQ((co_await p.execute("swap", list("x", i), in("s"))), (i == 0 ? value() : value(i - 1)));
            const auto got = co_await s.get("x");
            CO_ASSERT_OK(got);
            CO_ASSERT(got->has_value());
            EXPECT_EQ((*got)->data, i);
            EXPECT_GT((*got)->version, version);
            version = (*got)->version;
        }
    });
}

TEST_P(Sessions, CallsOfOneWorkerSeeWhatThoseBeforeThemHaveWritten) {
    with_pool(
        remembering(1),
        [](pool& p) -> awaitable<> {
            constexpr int rounds = 200;
            constexpr int at_once = 3;  // they leave in one frame, all with a lease
            for (int i = 0; i < rounds; ++i) {
                int open = 0;
                for (int n = 0; n < at_once; ++n) {
                    for (const char* key : {"s", "t"}) {
                        ++open;
                        async_execute(p, "add_one", list("n"), in(key), [&](const result<value>& r) {
                            EXPECT_OK(r);
                            --open;
                        });
                    }
                }
                while (open > 0) co_await wait_for(0ms);
            }
            for (const char* key : {"s", "t"}) {
                const auto n = co_await p.session(key).get("n");
                CO_ASSERT_OK(n);
                CO_ASSERT(n->has_value());
                EXPECT_EQ((*n)->data, rounds * at_once) << "one after the other";
            }
        },
        90s * slow);
}

TEST_P(Sessions, WhatASlowCallHasWrittenIsSeenWhileItRuns) {
    with_pool(remembering(2), [&](pool& p) -> awaitable<> {
        auto s = p.session("s");
        for (int i = 0; i < 3; ++i) {
            const auto name = fmt::format("slow{}", i);
            bool ended = false;
            async_execute(p, "write_and_wait", list("x", i, (scratch().path() / name).string()), in("s"),
                          [&](const result<value>& r) {
                              EXPECT_OK(r);
                              ended = true;
                          });
            bool is_seen = false;
            for (const auto until = clock::now() + 30s * slow; !is_seen && clock::now() < until;) {
                const auto got = co_await s.get("x");
                is_seen = got && *got && (*got)->data == i;
                co_await wait_for(1ms);
            }
            EXPECT_TRUE(is_seen);
            EXPECT_FALSE(ended);
            scratch().write(name, "go on");
            CO_ASSERT(co_await comes_true([&] { return ended; }, 30s * slow));
        }
    });
}

TEST_P(Sessions, EveryWriteOfASlowCallIsSeenWhileItRuns) {
    with_pool(remembering(1), [&](pool& p) -> awaitable<> {
        auto s = p.session("s");
        CO_ASSERT_OK(co_await p.execute("swap", list("x", -1), in("s")));
        constexpr int count = 10;
        for (int round = 0; round < 2; ++round) {
            const auto path = (scratch().path() / fmt::format("round{}-", round)).string();
            bool ended = false;
            async_execute(p, "write_slowly", list("x", count, path), in("s"), [&](const result<value>& r) {
                EXPECT_OK(r);
                ended = true;
            });
            auto changes = co_await s.watch();
            CO_ASSERT_OK(changes);
            for (int i = 0; i < count; ++i) {
                const auto event = co_await changes->next();
                CO_ASSERT_OK(event);
                EXPECT_EQ(event->data, value(i));
                EXPECT_FALSE(ended);
                scratch().write(fmt::format("round{}-{}", round, i), "go on");
            }
            CO_ASSERT(co_await comes_true([&] { return ended; }, 30s * slow));
        }
    });
}

TEST_P(Sessions, ReadWhatTheirOwnCallHasWrittenInWhateverWay) {
    with_pool(remembering(1), [](pool& p) -> awaitable<> {
        for (int i = 0; i < 5; ++i) {
            EXPECT_EQ((co_await p.execute("write_in_thread", list("x", i), in("s"))), i);
            const auto much = co_await p.execute("write_much", list("m", 600), in("s"));
            CO_ASSERT_OK(much);
            const value before = i == 0 ? value() : value("last");
            EXPECT_EQ(*much, list(before, "last", "last", i == 0 ? 600 : 0));
            EXPECT_EQ((co_await p.execute("get", list("m"), in("s"))), "last");
            EXPECT_EQ((co_await p.execute("write_in_fork", list("m", 1), in("s"))), "closed");
            EXPECT_EQ((co_await p.execute("get", list("m"), in("s"))), "last");
        }
    });
}

TEST_P(Sessions, ATriedToolIsToldOfLimitsAndOfTheEndAtOnce) {
    auto how = remembering(1);
    how.sessions.max_variables = 3;
    how.sessions.max_value_bytes = 500;
    how.sessions.max_session_bytes = 1'000;
    with_pool(how, [&](pool& p) -> awaitable<> {
        for (int i = 0; i < 3; ++i) {
            const auto s = fmt::format("s{}", i);
            const auto why = co_await p.execute("go_too_far", list((scratch().path() / s).string()), in(s.c_str()));
            CO_ASSERT_OK(why);
            EXPECT_EQ(*why, list("value_too_large", "session_too_large", "too_many_variables", "invalid_name"));
        }
        for (int i = 0; i < 3; ++i) {
            const auto name = fmt::format("closed{}", i);
            const auto set = co_await p.session("t").set("x", i);
            CO_ASSERT_OK(set);
            std::optional<result<value>> seen;
            async_execute(p, "write_again", list("x", (scratch().path() / name).string()), in("t"),
                          [&](result<value> r) { seen = std::move(r); });
            CO_ASSERT(
                co_await comes_true([&] { return fs::exists(scratch().path() / (name + ".looked")); }, 30s * slow));
            for (auto now = co_await p.session("t").get("x"); now && (*now)->version == *set;) {
                co_await wait_for(1ms);  // until what it has written without waiting is here
                now = co_await p.session("t").get("x");
            }
            CO_ASSERT_OK(co_await p.session("t").close());
            scratch().write(name, "go on");
            CO_ASSERT(co_await comes_true([&] { return seen.has_value(); }, 30s * slow));
            CO_ASSERT_OK(*seen);
            EXPECT_EQ(**seen, "session_closed");
        }
    });
}

TEST_P(Sessions, MayLiveElsewhere) {
    auto how = remembering(2);
    how.sessions.max_variables = 10;
    session_options elsewhere;
    elsewhere.max_variables = 10;
    how.sessions.backend = std::make_shared<slow_backend>(elsewhere);
    with_pool(how, [](pool& p) -> awaitable<> {
        const value nothing = value::array();
        for (int i = 0; i < 2; ++i) EXPECT_EQ((co_await p.execute("everything", nothing, in("s"))), nothing);
        for (int i = 0; i < 12; ++i) {
            const auto name = fmt::format("n{}", i);
            const auto put = co_await p.execute("put", list(name, i), in("s"));
            if (i < 10) {
                EXPECT_EQ(put, i);
            } else {
                EXPECT_TRUE(failed_saying(put, errc::tool_raised, "SessionLimit"));
            }
        }
        EXPECT_EQ((co_await p.execute("close_it", nothing, in("t"))), "closed");
        const auto sum = co_await p.execute("from_threads", list(4), in("u"));
        EXPECT_EQ(sum, 6);
    });
}

TEST_P(Sessions, OfTwoWhoCompareAtOnceExactlyOneWins) {
    with_pool(
        remembering(1),
        [this](pool& p) -> awaitable<> {
            const int rounds = GetParam() == lane_kind::direct ? 10'000 : 1'000;
            auto s = p.session("s");
            CO_ASSERT_OK(co_await s.set("turn", 0));
            auto changes = co_await s.watch();
            CO_ASSERT_OK(changes);
            std::optional<result<value>> theirs;
            async_execute(p, "compete", list("turn", rounds), in("s").timeout(300s),
                          [&](result<value> r) { theirs = std::move(r); });
            std::vector<bool> ours(static_cast<std::size_t>(rounds), false);
            int won = 0;
            for (int round = 0; round < rounds;) {
                const auto event = co_await changes->next();
                CO_ASSERT_OK(event);
                EXPECT_EQ(event->missed, 0u);
                if (event->name != "ready") continue;
                if (round % 16 == 0) co_await wait_for(1ms);  // theirs is the longer way
                CO_ASSERT(event->data == value(round));
                const auto seen = co_await s.get("turn");
                CO_ASSERT_OK(seen);
                // Theirs may have come before this look; then there is nothing left to compete for.
                if ((*seen)->data == round) {
                    const auto mine = co_await s.compare_and_set("turn", (*seen)->version, round + 1);
                    if (mine) {
                        ours[static_cast<std::size_t>(round)] = true;
                        ++won;
                    } else {
                        EXPECT_TRUE(failed_with(mine, errc::version_conflict));
                    }
                }
                ++round;
            }
            CO_ASSERT(co_await comes_true([&] { return theirs.has_value(); }, 60s * slow));
            CO_ASSERT_OK(*theirs);
            CO_ASSERT((*theirs)->size() == ours.size());
            int both_or_none = 0;
            for (std::size_t i = 0; i < ours.size(); ++i) both_or_none += (**theirs)[i].get<bool>() == ours[i];
            EXPECT_EQ(both_or_none, 0);
            EXPECT_GT(won, 0);
            EXPECT_LT(won, rounds);
        },
        240s * slow);
}

}  // namespace
}  // namespace snakepit::test
