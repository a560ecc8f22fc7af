// What operators can do by the admin socket.

#include "support/admin_fixture.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>
#include <csignal>

namespace snakepit::test {
namespace {

using ::testing::HasSubstr;

TEST_F(Admin, SocketIsThisUsersAloneAndGoesWithThePool) {
    const auto before = ::umask(0);
    with_pool(options(), [&](pool&) -> awaitable<> {
        const auto there = sockets();
        CO_ASSERT(there.size() == 1);
        struct stat s{};
        CO_ASSERT(::stat(there[0].c_str(), &s) == 0);
        EXPECT_EQ(s.st_mode & 0777u, 0600u);
        CO_ASSERT(::stat(there[0].parent_path().c_str(), &s) == 0);
        EXPECT_EQ(s.st_mode & 0777u, 0700u);
        co_return;
    });
    ::umask(before);
    EXPECT_TRUE(sockets().empty());
}

TEST_F(Admin, SocketIsNotThereForAPoolThatIsToHaveNone) {
    auto how = options();
    how.admin_socket = false;
    with_pool(how, [&](pool& p) -> awaitable<> {
        EXPECT_TRUE(sockets().empty());
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Admin, StatusTellsOfThePool) {
    with_pool(options(), [&](pool& p) -> awaitable<> {
        EXPECT_OK(co_await p.execute("echo", 1));
        auto c = connect();
        const value s = co_await c.ask(R"({"command": "status"})");
        EXPECT_EQ(s["ok"], true);
        EXPECT_EQ(s["module"], "everyday");
        EXPECT_EQ(s["pid"], ::getpid());
        EXPECT_EQ(s["state"], "running");
        EXPECT_EQ(s["workers"]["all"], 2);
        EXPECT_EQ(s["workers"]["ready"], 2);
        EXPECT_EQ(s["calls"]["succeeded"], 1);
        EXPECT_EQ(s["calls"]["in_flight"], 0);
        EXPECT_EQ(s["log_level"], "warning");
        EXPECT_EQ(s["groups"].size(), 1u);
        EXPECT_EQ(s["groups"][0]["workers"]["all"], 2);
        EXPECT_GT(s["uptime"].get<double>(), 0);
    });
}

TEST_F(Admin, WorkersTellWhatStatsHave) {
    with_pool(options(), [&](pool& p) -> awaitable<> {
        EXPECT_OK(co_await p.execute("echo", 1));
        auto c = connect();
        const value w = co_await c.ask(R"({"command": "workers"})");
        const auto stats = p.workers();
        CO_ASSERT(w["workers"].size() == stats.size());
        for (std::size_t i = 0; i < stats.size(); ++i) {
            const auto& one = w["workers"][i];
            EXPECT_EQ(one["id"], stats[i].id);
            EXPECT_EQ(one["pid"], stats[i].pid);
            EXPECT_EQ(one["state"], to_string(stats[i].state));
            EXPECT_EQ(one["total_calls"], stats[i].total_calls);
            EXPECT_EQ(one["lane"], stats[i].lane);
            EXPECT_TRUE(one["cpu"].is_number()) << one["cpu"];
        }
    });
}

TEST_F(Admin, StackShowsWhereAWorkerIs) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        asio::co_spawn(*io, p.execute("hold", "a"), [](std::exception_ptr, const result<value>& r) { EXPECT_OK(r); });
        CO_ASSERT(co_await begun(1));
        auto c = connect();
        const value reply = co_await c.ask(R"({"command": "stack", "worker": "w0"})");
        EXPECT_EQ(reply["worker"], "w0");
        EXPECT_THAT(reply["stack"].get<std::string>(), HasSubstr("everyday.py\", line")) << reply;
        EXPECT_THAT(reply["stack"].get<std::string>(), HasSubstr("in hold"));
        scratch().write("a.go", "");
    });
}

TEST_F(Admin, AWorkerThatIsStoppedHasNoStack) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        const auto pid = p.workers()[0].pid;
        auto c = connect();
        CO_ASSERT(::kill(pid, SIGSTOP) == 0);
        const value reply = co_await c.ask(R"({"command": "stack", "worker": "w0"})");
        ::kill(pid, SIGCONT);
        EXPECT_EQ(code_of(reply), "deadline_exceeded");
        EXPECT_EQ(message_of(reply), "the worker has not written its stacks: its process may be stopped");
    });
}

TEST_F(Admin, DrainLetsNoCallsInUntilResume) {
    with_pool(options(), [&](pool& p) -> awaitable<> {
        auto c = connect();
        value reply = co_await c.ask(R"({"command": "drain"})");
        EXPECT_EQ(reply, value({{"ok", true}}));
        EXPECT_TRUE(failed_with(co_await p.execute("echo", 1), errc::pool_draining));
        reply = co_await c.ask(R"({"command": "status"})");
        EXPECT_EQ(reply["state"], "draining");
        reply = co_await c.ask(R"({"command": "resume"})");
        EXPECT_EQ(reply, value({{"ok", true}}));
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Admin, RecycleReplacesOneOrAllAndAnswersWhenItIsDone) {
    with_pool(options(), [&](pool& p) -> awaitable<> {
        auto c = connect();
        value reply = co_await c.ask(R"({"command": "recycle", "worker": "w1"})");
        EXPECT_EQ(reply, value({{"ok", true}}));
        auto w = p.workers();
        EXPECT_EQ(w[0].incarnation, 1u);
        EXPECT_EQ(w[1].incarnation, 2u);
        reply = co_await c.ask(R"({"command": "recycle", "worker": "all"})");
        EXPECT_EQ(reply, value({{"ok", true}}));
        w = p.workers();
        EXPECT_EQ(w[0].incarnation, 2u);
        EXPECT_EQ(w[1].incarnation, 3u);
    });
}

TEST_F(Admin, ResizeAnswersWhenThePoolHasItsSize) {
    auto how = options("grouped");
    how.group = "main";
    how.groups.resize(1);
    how.groups[0].name = "io";
    how.groups[0].workers.min = 1;
    scratch().write("grouped.py",
                    "import snakepit\n@snakepit.tool\ndef here(): pass\n"
                    "@snakepit.tool(group='io')\ndef there(): pass\n");
    with_pool(how, [&](pool& p) -> awaitable<> {
        auto c = connect();
        value reply = co_await c.ask(R"({"command": "resize", "min": 1, "group": "main"})");
        EXPECT_EQ(reply, value({{"ok", true}}));
        EXPECT_EQ(p.workers().size(), 2u);
        reply = co_await c.ask(R"({"command": "resize", "min": 2, "max": 4, "group": "io"})");
        EXPECT_EQ(reply, value({{"ok", true}}));
        EXPECT_EQ(p.workers().size(), 3u);
        reply = co_await c.ask(R"({"command": "resize", "min": 1, "group": "gpu"})");
        EXPECT_EQ(code_of(reply), "bad_arguments");
        EXPECT_EQ(message_of(reply), "no group \"gpu\"; there are: main, io");
        reply = co_await c.ask(R"({"command": "resize", "min": -1})");
        EXPECT_EQ(code_of(reply), "invalid_options");
        EXPECT_THAT(message_of(reply), HasSubstr("workers.min"));
    });
}

TEST_F(Admin, ResizeWhileThePoolStartsIsRefusedInAnOperatorsWords) {
    const auto go = scratch().path() / "go";
    scratch().write("slow.py", fmt::format("import os, time, snakepit\n"
                                           "while not os.path.exists('{}'): time.sleep(0.01)\n"
                                           "@snakepit.tool\ndef here(): pass\n",
                                           go.string()));
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), options("slow"));
        bool is_up = false;
        asio::co_spawn(*io, p.start(), [&](std::exception_ptr, const result<void>& r) {
            EXPECT_OK(r);
            is_up = true;
        });
        const std::function<bool()> listens = [this] { return !sockets().empty(); };
        CO_ASSERT(co_await comes_true(listens, 10s * slow));
        auto c = connect();
        const value reply = co_await c.ask(R"({"command": "resize", "min": 1})");
        EXPECT_EQ(code_of(reply), "not_started");
        EXPECT_THAT(message_of(reply), HasSubstr("still starting"));
        scratch().write("go", "");
        const std::function<bool()> started = [&is_up] { return is_up; };
        EXPECT_TRUE(co_await comes_true(started, 10s * slow));
        EXPECT_OK(co_await p.stop());
    });
}

TEST_F(Admin, KillEndsAWorkerAsACrashWould) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        const auto pid = p.workers()[0].pid;
        auto c = connect();
        const value reply = co_await c.ask(R"({"command": "kill", "worker": "w0"})");
        EXPECT_EQ(reply, value({{"ok", true}, {"worker", "w0"}}));
        const std::function<bool()> is_back = [&p, pid] {
            const auto w = p.workers()[0];
            return w.pid != 0 && w.pid != pid && serves(w) && w.restarts == 1;
        };
        EXPECT_TRUE(co_await comes_true(is_back, 10s * slow));
        EXPECT_THAT(p.workers()[0].last_exit, HasSubstr("SIGKILL"));
    });
}

TEST_F(Admin, AWorkerWithoutAProcessCannotBeKilled) {
    auto how = one_worker();
    how.restart_backoff.first = 30s;
    how.restart_backoff.longest = 30s;
    with_pool(how, [&](pool& p) -> awaitable<> {
        auto c = connect();
        value reply = co_await c.ask(R"({"command": "kill", "worker": "w0"})");
        EXPECT_EQ(reply["ok"], true);
        const std::function<bool()> is_down = [&p] { return p.workers()[0].pid == 0; };
        CO_ASSERT(co_await comes_true(is_down, 10s * slow));
        for (const auto* command : {"kill", "stack"}) {
            reply = co_await c.ask(fmt::format(R"({{"command": "{}", "worker": "w0"}})", command));
            EXPECT_EQ(code_of(reply), "worker_lost");
            EXPECT_EQ(message_of(reply), "the worker has no process now");
        }
    });
}

TEST_F(Admin, LogLevelIsToldAndSet) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        auto c = connect();
        value reply = co_await c.ask(R"({"command": "loglevel"})");
        EXPECT_EQ(reply, value({{"ok", true}, {"level", "warning"}}));
        reply = co_await c.ask(R"({"command": "loglevel", "level": "error"})");
        EXPECT_EQ(reply, value({{"ok", true}, {"level", "error"}}));
        EXPECT_EQ(p.log_level(), log_level::error);
        reply = co_await c.ask(R"({"command": "loglevel", "level": "loud"})");
        EXPECT_EQ(message_of(reply), "no level \"loud\"; there are: debug, info, warning, error, off");
    });
}

TEST_F(Admin, MetricsAreThePoolsText) {
    with_pool(one_worker(), [&](pool&) -> awaitable<> {
        auto c = connect();
        const value reply = co_await c.ask(R"({"command": "metrics"})");
        EXPECT_EQ(reply["ok"], true);
        EXPECT_TRUE(reply["metrics"].is_string());
    });
}

}  // namespace
}  // namespace snakepit::test
