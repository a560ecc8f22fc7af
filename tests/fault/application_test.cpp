// Applications that make it hard: signals of their own, blocked executors, a launcher that is killed. (C2, C8, C38,
// C57)

#include "support/pool_fixture.hpp"

#include <sys/wait.h>
#include <asio/post.hpp>
#include <atomic>
#include <csignal>
#include <thread>

namespace snakepit::test {
namespace {

class Application : public PoolTest {
protected:
    [[nodiscard]] pool_options mortal() const {
        auto how = options("mortal");
        how.restart_backoff.first = 5ms;
        return how;
    }
    /// Works, notices a death with its cause, works again.
    static awaitable<> day_of_work(pool& p) {
        EXPECT_OK(co_await p.execute("echo", 1));
        EXPECT_TRUE(failed_saying(co_await p.execute("die", "exit 3"), errc::worker_lost, "exit code 3"));
        CO_ASSERT(co_await comes_true([&] {
            const auto s = p.stats();
            return s.workers[0].state == worker_state::ready && s.workers[1].state == worker_state::ready;
        }));
        EXPECT_OK(co_await p.execute("echo", 2));
    }
    void with_handler(struct sigaction how) {
        struct sigaction before{};
        ::sigaction(SIGCHLD, &how, &before);
        with_pool(mortal(), [](pool& p) { return day_of_work(p); });
        ::sigaction(SIGCHLD, &before, nullptr);
    }
};

std::atomic<int> children_heard = 0;

TEST_F(Application, ThatIgnoresSigchld) {
    struct sigaction how{};
    how.sa_handler = SIG_IGN;
    with_handler(how);
}

TEST_F(Application, ThatReapsEveryChildInItsHandler) {
    struct sigaction how{};
    how.sa_handler = [](int) {
        const int before = errno;
        while (::waitpid(-1, nullptr, WNOHANG) > 0) ++children_heard;
        errno = before;
    };
    how.sa_flags = SA_RESTART;
    with_handler(how);
    EXPECT_GT(children_heard, 0);
}

TEST_F(Application, ThatBlocksEverySignal) {
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    with_pool(mortal(), [](pool& p) { return day_of_work(p); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(Application, WhoseThreadThatStartedThePoolEnds) {
    pool p(io->get_executor(), mortal());
    std::thread starter([&] {
        run(
            [&]() -> awaitable<> {
                CO_ASSERT_OK(co_await p.start());
                io->stop();
            },
            30s * slow);
    });
    starter.join();
    run([&]() -> awaitable<> {
        const auto pids = p.stats().workers;
        co_await day_of_work(p);
        EXPECT_OK(co_await p.stop());
    });
}

TEST_F(Application, WhoseExecutorIsBlockedForASecondLosesNothing) {
    with_pool(options(), [this](pool& p) -> awaitable<> {
        int right = 0;
        for (int i = 0; i < 200; ++i)
            async_execute(p, "echo", i, call_options(), [&, i](const result<value>& r) { right += r && *r == i; });
        asio::post(*io, [] { std::this_thread::sleep_for(1s); });
        CO_ASSERT(co_await comes_true([&] { return right == 200; }));
        EXPECT_EQ(p.stats().workers[0].incarnation, 1u);
        EXPECT_EQ((co_await p.call<int>("add", 1)), 11);
    });
}

TEST_F(Application, WhoseExecutorWasBlockedWhileAWorkerDied) {
    with_pool(mortal(), [](pool& p) -> awaitable<> {
        const auto victim = p.stats().workers[0].pid;
        ::kill(victim, SIGKILL);
        std::this_thread::sleep_for(500ms);  // this is the executor
        CO_ASSERT(co_await comes_true([&] {
            return p.stats().workers[0].incarnation == 2 && p.stats().workers[0].state == worker_state::ready;
        }));
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Application, WhoseLauncherIsKilledKeepsItsWorkers) {
    with_pool(mortal(), [](pool& p) -> awaitable<> {
        const auto launcher = co_await p.call<int>("parent");
        CO_ASSERT_OK(launcher);
        const auto before = p.stats();
        ::kill(*launcher, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return !is_alive(*launcher); }));
        for (int i = 0; i < 20; ++i) EXPECT_OK(co_await p.execute("echo", i));
        EXPECT_EQ(p.stats().workers[0].pid, before.workers[0].pid);
        EXPECT_EQ(p.stats().workers[1].pid, before.workers[1].pid);
        // Nobody can say how a worker of the old launcher ended; that it ended is known all the same.
        ::kill(before.workers[0].pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] {
            return p.stats().workers[0].incarnation == 2 && p.stats().workers[0].state == worker_state::ready;
        }));
        EXPECT_EQ(p.stats().workers[1].pid, before.workers[1].pid);
        EXPECT_TRUE(failed_with(co_await p.execute("die", "exit 3"), errc::worker_lost));
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Application, WhoseForkedChildExitsDisturbsNobody) {
    with_pool(options(), [](pool& p) -> awaitable<> {
        EXPECT_OK(co_await p.execute("echo", 1));
        const pid_t child = ::fork();
        if (child == 0) ::_exit(0);
        int status = 0;
        ::waitpid(child, &status, 0);
        EXPECT_EQ(status, 0);
        for (int i = 0; i < 20; ++i) EXPECT_OK(co_await p.execute("echo", i));
        EXPECT_EQ(p.stats().workers[0].incarnation + p.stats().workers[1].incarnation, 2u);
    });
}

}  // namespace
}  // namespace snakepit::test
