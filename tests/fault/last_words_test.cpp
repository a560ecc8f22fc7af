// What a worker that is killed had begun, and what it had done: nothing runs twice, and nothing that was done or not
// yet begun is lost.

#include "support/control_group.hpp"
#include "support/pool_fixture.hpp"

#include <csignal>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

namespace snakepit::test {
namespace {

class LastWords : public LaneTest {
protected:
    [[nodiscard]] pool_options mortal(int workers) const {
        auto how = options("mortal");
        how.workers.min = workers;
        how.restart_backoff.first = 1ms;
        how.restart_backoff.longest = 20ms;
        how.restart_limit.per_worker = 1'000'000;
        how.restart_limit.per_pool = 1'000'000;
        return how;
    }
    [[nodiscard]] fs::path marks() const { return scratch().path() / "marks"; }
    [[nodiscard]] std::map<std::string, int> times_run() const {
        std::map<std::string, int> times;
        std::istringstream names(file_text(marks()));
        for (std::string name; std::getline(names, name);) ++times[name];
        return times;
    }
    [[nodiscard]] std::size_t begun() const { return line_count(scratch().path() / "begun"); }
};
INSTANTIATE_LANES(LastWords);

TEST_P(LastWords, OnlyTheCallThatRanFailsAndItsEndIsExplained) {
    with_pool(mortal(1), [this](pool& p) -> awaitable<> {
        for (int i = 0; i < 10; ++i) {  // as far as anybody knows both are fast
            CO_ASSERT_OK(co_await p.execute("begin", list("warm", 0.0)));
            CO_ASSERT_OK(co_await p.execute("mark", "warm" + std::to_string(i)));
        }
        std::optional<result<value>> running;
        async_execute(p, "begin", "it", call_options(), [&](result<value> r) { running = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return begun() == 11; }));
        int right = 0;
        for (int i = 0; i < 50; ++i)
            async_execute(p, "mark", std::to_string(i), call_options(),
                          [&, i](const result<value>& r) { right += r && *r == std::to_string(i); });
        const auto held = [&] { return p.stats().workers[0].outstanding; };
        CO_ASSERT(co_await comes_true([&] { return held() >= 2 && held() + p.stats().queued == 51; }));
        const auto behind = held() - 1;
        co_await wait_for(20ms);  // it has been running for as long at least
        ::kill(p.stats().workers[0].pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return running && right == 50; }));
        EXPECT_TRUE(failed_saying(*running, errc::worker_lost, "SIGKILL", "ran begin for", "had been up for"));
        const auto* exit = running->error().exit();
        CO_ASSERT(exit);
        EXPECT_EQ(exit->running_tool, "begin");
        EXPECT_GE(exit->running, 20ms);
        EXPECT_GE(exit->uptime, exit->running);
        EXPECT_LT(exit->uptime, 60s);
        EXPECT_EQ(exit->out_of_memory, "");
        for (const auto& [name, count] : times_run()) EXPECT_EQ(count, 1) << name;
        EXPECT_EQ(p.stats().moved, behind);
        EXPECT_EQ(p.stats().failed, 1u);
    });
}

TEST_P(LastWords, AnIdleWorkersDeathCostsNothing) {
    with_pool(mortal(2), [](pool& p) -> awaitable<> {
        ::kill(p.stats().workers[0].pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return p.stats().workers[0].restarts == 1; }));
        EXPECT_EQ(p.stats().workers[0].last_exit, "signal 9 (SIGKILL)");
        EXPECT_EQ(p.stats().failed, 0u);
    });
}

TEST_P(LastWords, RepliesThatWereDoneAndNotSentComplete) {
    with_pool(mortal(1), [](pool& p) -> awaitable<> {
        std::uint64_t recovered = 0;
        // Replies leave behind quick calls, up to 200 us later. Which of them still wait when it dies varies.
        for (int round = 0; round < 20; ++round) {
            for (int i = 0; i < 5; ++i) EXPECT_OK(co_await p.execute("die_if", false));
            EXPECT_OK(co_await p.execute("echo", 0));
            int right = 0;
            std::optional<result<value>> last;
            for (int i = 0; i < 10; ++i)
                async_execute(p, "echo", i, call_options(), [&, i](const result<value>& r) { right += r && *r == i; });
            async_execute(p, "die_if", true, call_options(), [&](result<value> r) { last = std::move(r); });
            CO_ASSERT(co_await comes_true([&] { return last && right == 10; }));
            EXPECT_TRUE(failed_with(*last, errc::worker_lost));
            recovered = p.stats().recovered;
        }
        EXPECT_GT(recovered, 0u);
        EXPECT_EQ(p.stats().moved, 0u);
    });
}

TEST_P(LastWords, AnIdempotentCallIsRunAgain) {
    with_pool(mortal(2), [this](pool& p) -> awaitable<> {
        const auto by_tool = co_await p.call<int>("die_in_the_first", 1);
        CO_ASSERT_OK(by_tool);
        EXPECT_EQ(*by_tool, 2);
        EXPECT_EQ(p.stats().retried, 1u);
        fs::remove(marks());
        const auto by_call = co_await p.execute("die_once", list(), call_options().idempotent());
        CO_ASSERT_OK(by_call);
        EXPECT_EQ(*by_call, 2);
        EXPECT_EQ(p.stats().retried, 2u);
        EXPECT_EQ(p.stats().failed, 0u);
        fs::remove(marks());
        EXPECT_TRUE(failed_with(co_await p.execute("die_in_the_first", 1, call_options().idempotent(false)),
                                errc::worker_lost));
        fs::remove(marks());
        EXPECT_TRUE(failed_with(co_await p.execute("die_once", list()), errc::worker_lost));
        EXPECT_EQ(line_count(marks()), 1u);
    });
}

TEST_P(LastWords, ACallThatEndsTwoWorkersIsPoison) {
    with_pool(mortal(2), [this](pool& p) -> awaitable<> {
        int right = 0;
        for (int i = 0; i < 100; ++i)
            async_execute(p, "mark", std::to_string(i), call_options(), [&](const result<value>& r) { right += !!r; });
        const auto poison = co_await p.execute("die_in_the_first", 1'000'000);
        EXPECT_TRUE(failed_saying(poison, errc::poison_call, "two workers in a row", "SIGKILL"));
        EXPECT_EQ(poison.error().code(), failure::permanent);
        CO_ASSERT(poison.error().exit());
        EXPECT_EQ(poison.error().exit()->running_tool, "die_in_the_first");
        CO_ASSERT(co_await comes_true([&] { return right == 100; }));
        EXPECT_EQ(times_run()["run"], 2);
        EXPECT_TRUE(co_await comes_true([&] { return is_whole(p); }));
    });
}

TEST_P(LastWords, ACrashInCCodeArrivesAsAPythonStack) {
    struct kind {
        const char* way;
        int signal;
        const char* words;
    };
    constexpr kind kinds[] = {
        {"segfault", SIGSEGV, "Segmentation fault"},
        {"abort", SIGABRT, "Aborted"},
        {"bus", SIGBUS, "Bus error"},
        {"float", SIGFPE, "Floating point exception"},
        {"illegal", SIGILL, "Illegal instruction"},
    };
    auto how = mortal(1);
    how.heartbeat.initial_delay = 0ms;
    how.heartbeat.interval = 20ms;
    with_pool(how, [&](pool& p) -> awaitable<> {
        for (const auto& [way, signal, words] : kinds) {
            SCOPED_TRACE(way);
            CO_ASSERT(co_await comes_true([&] { return p.stats().workers[0].heartbeat.resident_bytes != 0; }));
            const auto lost = co_await p.execute("die", way);
            CO_ASSERT(!lost && lost.error().exit());
            EXPECT_EQ(lost.error().exit()->signal, signal);
            EXPECT_GT(lost.error().exit()->resident_bytes, 1'000'000u) << "as of its last pong";
            const auto& stack = lost.error().exit()->python_stack;
            EXPECT_NE(stack.find(words), std::string::npos) << lost.error();
            EXPECT_NE(stack.find("mortal.py\", line "), std::string::npos) << stack;
            EXPECT_NE(stack.find("in die\n"), std::string::npos) << stack;
            EXPECT_NE(lost.error().full().find(stack.substr(0, stack.find('\n'))), std::string::npos);
            EXPECT_EQ(lost.error().exit()->output_tail, "last words");
        }
        const auto killed = co_await p.execute("die", "kill");
        CO_ASSERT(!killed && killed.error().exit());
        EXPECT_EQ(killed.error().exit()->python_stack, "");
    });
}

TEST_P(LastWords, NothingRunsTwiceWhateverIsKilled) {
    auto how = mortal(4);
    how.calls_per_worker = 16;
    constexpr int kills = 150;
    with_pool(
        how,
        [&](pool& p) -> awaitable<> {
            std::map<std::string, bool> answered;  // name, whether with success
            int callers = 0;
            bool over = false;
            const auto caller = [&](int who) -> awaitable<> {
                for (int i = 0; !over; ++i) {
                    const auto name = std::to_string(who) + "." + std::to_string(i);
                    const auto r = co_await p.execute("mark", name);
                    if (!r && r.error() != errc::worker_lost) ADD_FAILURE() << r.error().full();
                    EXPECT_TRUE(answered.emplace(name, !!r).second);
                }
                ++callers;
            };
            constexpr int all = 32;
            for (int i = 0; i < all; ++i) asio::co_spawn(*io, caller(i), [](std::exception_ptr e) { EXPECT_FALSE(e); });
            const auto seed = std::random_device{}();
            SCOPED_TRACE(seed);
            std::mt19937 dice(seed);
            std::set<int> killed;
            const auto enough = [&] { return killed.size() >= kills && p.stats().moved > 0; };
            while (!enough() && killed.size() < 10 * kills) {
                std::vector<int> pids;
                const std::function<bool()> there_is_one = [&] {
                    pids.clear();
                    for (const auto& w : p.stats().workers)
                        if (w.state == worker_state::executing && !killed.contains(w.pid)) pids.push_back(w.pid);
                    return !pids.empty();
                };
                CO_ASSERT(co_await comes_true(there_is_one));
                const int chosen = pids[dice() % pids.size()];
                ::kill(chosen, SIGKILL);
                killed.insert(chosen);
            }
            over = true;
            CO_ASSERT(co_await comes_true([&] { return callers == all; }, 30s * slow));
            EXPECT_TRUE(co_await comes_true([&] { return is_whole(p); }));
            const auto runs = times_run();
            std::size_t lost = 0;
            for (const auto& [name, success] : answered) {
                const auto run = runs.find(name);
                EXPECT_TRUE(run == runs.end() ? !success : run->second == 1) << name;
                lost += !success;
            }
            for (const auto& [name, count] : runs) EXPECT_EQ(answered.count(name), 1u) << name;
            EXPECT_LE(lost, killed.size()) << "a worker runs one call at a time";
            EXPECT_GT(p.stats().moved, 0u);
        },
        240s * slow);
}

/// @return  whether the group is one of version 1, and has so little memory from now on
bool limit_memory(const control_group& group, std::size_t megabytes) {
    return group.put("memory.limit_in_bytes", std::to_string(megabytes << 20));
}

TEST_F(PoolTest, MemoryThatTheKernelDidNotHaveIsNamedAsTheCause) {
    auto how = options("mortal");
    how.workers.min = 1;
    how.heartbeat.initial_delay = 0ms;
    how.heartbeat.interval = 20ms;
    const control_group group("memory");
    if (!limit_memory(group, 100))
        GTEST_SKIP() << "this machine lets nobody limit memory by control groups of version 1";
    with_pool(how, [&](pool& p) -> awaitable<> {
        CO_ASSERT(group.put("cgroup.procs", std::to_string(p.stats().workers[0].pid)));
        const auto beaten = p.stats().workers[0].heartbeat.latency_p99;
        EXPECT_OK(co_await p.execute("echo", beaten.count()));
        const auto lost = co_await p.execute("eat", 1'000);
        EXPECT_TRUE(failed_saying(lost, errc::worker_lost, "want of memory"));
        CO_ASSERT(!lost && lost.error().exit());
        EXPECT_EQ(lost.error().exit()->signal, SIGKILL);
        EXPECT_NE(lost.error().exit()->out_of_memory, "");
        EXPECT_EQ(lost.error().exit()->running_tool, "eat");
        CO_ASSERT(co_await comes_true([&] { return p.stats().workers[0].last_exit != ""; }));
        EXPECT_NE(p.stats().workers[0].last_exit.find("want of memory"), std::string::npos);
    });
}

TEST_F(PoolTest, AWorkerThatHasNoMemoryToWarmUpSaysSo) {
    auto how = options("mortal");
    how.workers.min = 1;
    how.warmup = "eat_if_hungry";
    how.heartbeat.initial_delay = 1h;
    const control_group group("memory");
    if (!limit_memory(group, 200))
        GTEST_SKIP() << "this machine lets nobody limit memory by control groups of version 1";
    with_pool(how, [&](pool& p) -> awaitable<> {
        // the fork server, and who is forked from it
        for (const auto& launcher : children_of(::getpid())) {
            for (const auto& child : children_of(launcher.pid)) {
                if (child.pid != p.stats().workers[0].pid) {
                    EXPECT_TRUE(group.put("cgroup.procs", std::to_string(child.pid)));
                }
            }
        }
        scratch().write("hungry", "yes");
        const auto recycled = co_await p.recycle("w0");
        EXPECT_TRUE(failed_saying(recycled, errc::module_failed, "want of memory"));
        EXPECT_OK(co_await p.execute("echo", 1));  // the old one serves on
    });
}

}  // namespace
}  // namespace snakepit::test
