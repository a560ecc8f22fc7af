// The end of the host, and what is not its end: all that it has started goes, or stays. (C1, C2, C3, S18)

#include "support/host_process.hpp"

#include <csignal>
#include <thread>

namespace snakepit::test {
namespace {

class HostEnd : public HostTest, public testing::WithParamInterface<const char*> {
protected:
    [[nodiscard]] host_process::config config(int workers) const { return HostTest::config(workers, GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Method, HostEnd, testing::Values("fork", "spawn"),
                         [](const auto& method) { return method.param == std::string("fork") ? "Fork" : "Spawn"; });

TEST_P(HostEnd, ByKillTakesBusyWorkersAndTheirStraysAlong) {
    constexpr int workers = 8;
    host_process host(config(workers));
    ASSERT_EQ(host.hear("start: "), "ok");
    host.tell("call hold [true]");  // in C, with the GIL
    for (int i = 1; i < workers; ++i) host.tell("call hold []");
    auto all = held(workers * 5);
    add_children(host, all);
    EXPECT_GE(all.size(), workers * 5u + 1u);
    host.process().kill(SIGKILL);
    EXPECT_EQ(survivors(all, limit), "");
}

/// No tool here leaves anything: that would be the launcher's to end, which the kernel ends too (orphaned and stopped).
TEST_P(HostEnd, ByKillWhileItsLauncherIsStoppedStillTakesTheWorkers) {
    host_process host(config(2));
    ASSERT_EQ(host.hear("start: "), "ok");
    host.tell("call hold [true, false]");
    host.tell("call hold [false, false]");
    const auto workers = held(2);
    std::vector<watched_process> launcher;
    for (const auto& child : children_of(host.process().pid())) launcher.emplace_back(child.pid);
    ASSERT_EQ(launcher.size(), 1u);
    launcher[0].kill(SIGSTOP);
    host.process().kill(SIGKILL);
    EXPECT_EQ(survivors(workers, limit), "");
    launcher[0].kill(SIGCONT);
    EXPECT_EQ(survivors(launcher, limit), "");
}

TEST_P(HostEnd, ByExecTakesAllAlong) {
    host_process host(config(2));
    ASSERT_EQ(host.hear("start: "), "ok");
    host.tell("call hold []");
    host.tell("call hold []");
    auto all = held(10);
    add_children(host, all);
    host.tell("exec");
    EXPECT_EQ(survivors(all, limit), "");
    EXPECT_FALSE(host.process().is_gone()) << "it is another program now";
}

TEST_P(HostEnd, ByFallingOffItsMainTakesAllAlong) {
    host_process host(config(2));
    ASSERT_EQ(host.hear("start: "), "ok");
    host.tell("call hold []");
    auto all = held(5);
    add_children(host, all);
    host.tell("stop");
    EXPECT_EQ(host.hear("stop: ", 40s), "ok");
    EXPECT_EQ(survivors(all, limit), "");
    EXPECT_TRUE(host.process().is_gone(2s));
}

TEST_P(HostEnd, IsNotThatItWasStoppedForAWhile) {
    auto how = config(2);
    how.fast_pulse = true;
    host_process host(how);
    ASSERT_EQ(host.hear("start: "), "ok");
    const auto before = host.workers();
    ASSERT_EQ(before.size(), 2u);
    host.process().kill(SIGSTOP);
    // Not an order of events but the time itself: more than max_missed heartbeats of 200 ms.
    std::this_thread::sleep_for(2s);
    host.process().kill(SIGCONT);
    host.tell("call echo [1]");
    EXPECT_EQ(host.hear("echo: "), "1");
    EXPECT_EQ(host.workers(), before);
    std::this_thread::sleep_for(1s);  // five heartbeats later
    EXPECT_EQ(host.workers(), before);
    host.tell("stop");
    EXPECT_EQ(host.hear("stop: "), "ok");
}

TEST_P(HostEnd, AfterItsLauncherWasKilledStillTakesAllWorkersAlong) {
    host_process host(config(2));
    ASSERT_EQ(host.hear("start: "), "ok");
    host.tell("call parent []");
    watched_process launcher(std::stoi(host.hear("parent: ")));
    launcher.kill(SIGKILL);
    ASSERT_TRUE(launcher.is_gone(2s));
    const auto before = host.workers();
    host.tell("call echo [1]");
    EXPECT_EQ(host.hear("echo: "), "1");
    // One worker is started by the next launcher, the other was by the one before.
    watched_process first(before[0].first);
    first.kill(SIGKILL);
    ASSERT_TRUE(eventually([&] { return host.workers()[0].second == 2; }));
    EXPECT_EQ(host.workers()[1], before[1]);
    host.tell("call hold [false, false]");
    host.tell("call hold [true, false]");
    auto all = held(2);
    add_children(host, all);
    host.process().kill(SIGKILL);
    EXPECT_EQ(survivors(all, limit), "");
}

}  // namespace
}  // namespace snakepit::test
