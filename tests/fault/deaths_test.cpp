// Workers that end on their own: what the calls hear, and that capacity comes back. (C4, C6, S1)

#include "support/pool_fixture.hpp"

#include <csignal>
#include <ctime>

namespace snakepit::test {
namespace {

class Deaths : public LaneTest {
protected:
    [[nodiscard]] pool_options mortal(int workers = 2) const {
        auto how = options("mortal");
        how.workers.min = workers;
        how.restart_backoff.first = 5ms;
        how.restart_backoff.longest = 50ms;
        how.restart_limit.per_worker = 1'000;
        how.restart_limit.per_pool = 1'000;
        return how;
    }
    [[nodiscard]] std::size_t begun() const { return line_count(scratch().path() / "begun"); }
    void go() const { scratch().write("go", ""); }
    /// Since the tool wrote its last words.
    [[nodiscard]] clock::duration since_death() const {
        timespec now{};
        ::clock_gettime(CLOCK_MONOTONIC, &now);
        const auto died = std::stoll(file_text(scratch().path() / "died_at"));
        return std::chrono::nanoseconds(now.tv_sec * 1'000'000'000LL + now.tv_nsec - died);
    }
};
INSTANTIATE_LANES(Deaths);

TEST_P(Deaths, EachKindFailsItsCallAtOnceWithTheCauseAndNobodyElses) {
    struct kind {
        const char* way;
        int code;
        int signal;
        const char* words;
    };
    constexpr kind kinds[] = {
        {"exit 0", 0, 0, "exit code 0"},
        {"exit 3", 3, 0, "exit code 3"},
        {"kill", -1, SIGKILL, "signal 9 (SIGKILL)"},
        {"term", -1, SIGTERM, "15 (SIGTERM)"},
        {"abort", -1, SIGABRT, "6 (SIGABRT)"},
        {"segfault", -1, SIGSEGV, "11 (SIGSEGV)"},
        {"thread", 4, 0, "exit code 4"},
    };
    with_pool(
        mortal(),
        [&](pool& p) -> awaitable<> {
            // One worker holds this all along.
            std::optional<result<value>> other;
            async_execute(p, "begin", "other", call_options(), [&](result<value> r) { other = std::move(r); });
            CO_ASSERT(co_await comes_true([&] { return begun() == 1; }));
            for (const auto& k : kinds) {
                SCOPED_TRACE(k.way);
                const auto lost = co_await p.execute("die", k.way);
                EXPECT_LT(since_death(), 1s * slow);
                EXPECT_TRUE(failed_saying(lost, errc::worker_lost, k.words));
                CO_ASSERT(!lost && lost.error().exit());
                EXPECT_EQ(lost.error().exit()->code, k.code);
                EXPECT_EQ(lost.error().exit()->signal, k.signal);
                EXPECT_NE(lost.error().exit()->output_tail.find("last words"), std::string::npos) << lost.error();
                EXPECT_EQ(lost.error().tool(), "die");
                EXPECT_EQ(lost.error().code(), failure::retry_elsewhere);
                CO_ASSERT(co_await comes_true([&] { return is_whole(p); }));
            }
            EXPECT_FALSE(other) << "the other worker's call goes on";
            go();
            CO_ASSERT(co_await comes_true([&] { return other.has_value(); }));
            CO_ASSERT_OK(*other);
            EXPECT_EQ(begun(), 1u);
            std::uint64_t restarts = 0;
            for (const auto& w : p.stats().workers) restarts += w.restarts;
            EXPECT_EQ(restarts, std::size(kinds));
            EXPECT_EQ(p.stats().failed, std::size(kinds));
        },
        60s * slow);
}

TEST_P(Deaths, CallsThatWaitAreServedByTheNextOne) {
    auto how = mortal(1);
    how.calls_per_worker = 1;
    with_pool(how, [](pool& p) -> awaitable<> {
        int right = 0;
        std::optional<result<value>> lost;
        async_execute(p, "die", "kill", call_options(), [&](result<value> r) { lost = std::move(r); });
        for (int i = 0; i < 100; ++i)
            async_execute(p, "echo", i, call_options(), [&, i](const result<value>& r) { right += r && *r == i; });
        CO_ASSERT(co_await comes_true([&] { return right == 100; }));
        EXPECT_TRUE(lost && failed_with(*lost, errc::worker_lost));
    });
}

TEST_P(Deaths, NoCallRunsTwice) {
    auto how = mortal(2);
    how.calls_per_worker = 4;
    with_pool(
        how,
        [this](pool& p) -> awaitable<> {
            int ended = 0;
            int lost = 0;
            constexpr int all = 300;
            for (int i = 0; i < all; ++i) {
                const value arguments = list(std::to_string(i), 0.0);
                async_execute(p, "begin", arguments, call_options(), [&](const result<value>& r) {
                    ++ended;
                    if (r) return;
                    ++lost;
                    EXPECT_TRUE(failed_with(r, errc::worker_lost));
                });
            }
            for (int kills = 0; kills < 10; ++kills) {
                const auto before = begun();
                CO_ASSERT(co_await comes_true([&] { return begun() > before || ended == all; }));
                for (const auto& w : p.stats().workers)
                    if (w.outstanding > 0 && w.pid != 0) {
                        ::kill(w.pid, SIGKILL);
                        break;
                    }
            }
            CO_ASSERT(co_await comes_true([&] { return ended == all; }, 30s * slow));
            EXPECT_LE(lost, 10) << "only what a killed worker was running";
            std::map<std::string, int> times;
            std::istringstream names(file_text(scratch().path() / "begun"));
            for (std::string name; std::getline(names, name);) ++times[name];
            for (const auto& [name, count] : times) EXPECT_EQ(count, 1) << name;
            EXPECT_GE(times.size() + static_cast<std::size_t>(lost), static_cast<std::size_t>(all));
        },
        60s * slow);
}

TEST_P(Deaths, ManyInARowLeaveNothingAndTheWorkerComesBackEachTime) {
    auto how = mortal(1);
    with_pool(
        how,
        [](pool& p) -> awaitable<> {
            const auto fds = descriptors_of(::getpid()).size();
            for (std::uint64_t i = 1; i <= 15; ++i) {
                EXPECT_TRUE(failed_with(co_await p.execute("die", "kill"), errc::worker_lost));
                EXPECT_OK(co_await p.execute("echo", i));
                EXPECT_EQ(p.stats().workers[0].incarnation, i + 1);
            }
            CO_ASSERT(co_await comes_true([&] { return descriptors_of(::getpid()).size() <= fds; }));
            const auto launcher = co_await p.call<int>("parent");
            CO_ASSERT_OK(launcher);
            EXPECT_EQ(children_of(*launcher).size(), 2u) << "worker and zygote, no zombies";
        },
        60s * slow);
}

TEST_P(Deaths, AChildThatOutlivesTheWorkerNeitherHoldsUpTheNewsNorStays) {
    with_pool(mortal(1), [this](pool& p) -> awaitable<> {
        EXPECT_TRUE(failed_saying(co_await p.execute("fork_and_die", "exit 3"), errc::worker_lost, "exit code 3"));
        EXPECT_LT(since_death(), 2s * slow) << "though the child holds a copy of its socket and of its pipes";
        EXPECT_OK(co_await p.execute("echo", 1));
    });  // the fixture looks for the child
}

TEST_P(Deaths, AChildThatReturnsFromTheToolServesNoCalls) {
    with_pool(mortal(1), [](pool& p) -> awaitable<> {
        for (int i = 0; i < 5; ++i) {
            const auto r = co_await p.execute("fork_and_return", list(i));
            CO_ASSERT_OK(r);
            EXPECT_EQ(*r, list(i, true)) << "the parent's answer";
        }
        EXPECT_OK(co_await p.execute("echo", 1));
        EXPECT_EQ(p.stats().workers[0].incarnation, 1u);
        const auto worker = p.stats().workers[0].pid;
        CO_ASSERT(co_await comes_true([&] {
            for (const auto& c : children_of(worker))
                if (c.state != 'Z') return false;
            return true;
        }));
    });
}

TEST_P(Deaths, KilledWhileItStartsItIsStartedAgain) {
    with_pool(mortal(1), [](pool& p) -> awaitable<> {
        EXPECT_TRUE(failed_with(co_await p.execute("die", "kill"), errc::worker_lost));
        int killed = 0;
        while (killed < 3) {
            const auto w = p.stats().workers[0];
            if (w.state == worker_state::booting && w.pid != 0) {
                ::kill(w.pid, SIGKILL);
                ++killed;
                CO_ASSERT(co_await comes_true([&] { return p.stats().workers[0].pid != w.pid; }));
            }
            co_await wait_for(1ms);
        }
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

}  // namespace
}  // namespace snakepit::test
