// Sessions: what Python and C++ read and write is one and the same.

#include "support/pool_fixture.hpp"

#include <snakepit/session.hpp>

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

}  // namespace
}  // namespace snakepit::test
