// The application forks, or starts a program, while its pool runs: the child keeps nothing alive, reaches nothing, and
// is told so. (C57)

#include "support/host_process.hpp"

#include <unistd.h>
#include <csignal>

namespace snakepit::test {
namespace {

class ForkedHost : public HostTest {
protected:
    /// The child goes with its host's output, unless it is ended before.
    static watched_process forked(host_process& host, const std::string& how) {
        host.tell(how);
        return watched_process(std::stoi(host.hear("child: ")));
    }
    static fs::path proc(const watched_process& of) { return "/proc/" + std::to_string(of.pid()); }
    /// Beside its stdin, stdout and stderr, and what this program was started with, which all that it starts inherits.
    static std::string kept_by(const watched_process& program) {
        const auto inherited = descriptors_of(::getpid());
        std::string found;
        for (const auto& [fd, link] : descriptors_of(program.pid()))
            if (const auto it = inherited.find(fd); fd > 2 && (it == inherited.end() || it->second != link))
                found += " " + std::to_string(fd) + ": " + link;
        return found;
    }
    static void works_as_before(host_process& host, const std::vector<std::pair<int, int>>& before) {
        for (int i = 0; i < 20; ++i) {
            host.tell("call echo [1]");
            EXPECT_EQ(host.hear("echo: "), "1");
        }
        EXPECT_EQ(host.workers(), before);
    }
};

TEST_F(ForkedHost, MayBeKilledWhileItsChildLivesOnAndAllItsWorkersGo) {
    for (const auto* method : {"fork", "spawn"}) {
        SCOPED_TRACE(method);
        scratch().write("held", "");
        host_process host(config(4, method));
        ASSERT_EQ(host.hear("start: "), "ok");
        host.tell("call hold [true]");
        for (int i = 0; i < 3; ++i) host.tell("call hold []");
        auto all = held(20);
        add_children(host, all);
        const auto child = forked(host, "fork");
        host.hear("child destroyed the pool");
        host.process().kill(SIGKILL);
        EXPECT_EQ(survivors(all, limit), "");
        EXPECT_FALSE(child.is_gone());
        child.kill(SIGKILL);
    }
}

TEST_F(ForkedHost, HasAChildThatIsRefusedEverythingAndHarmsNobody) {
    host_process host(config(2));
    ASSERT_EQ(host.hear("start: "), "ok");
    const auto before = host.workers();
    const auto child = forked(host, "fork");
    const auto forked = std::to_string(static_cast<int>(errc::forked)) + " this process was forked";
    for (const auto* what : {"execute", "recycle", "recycle_all", "resize", "get", "set", "watch", "start", "stop"}) {
        const auto said = host.hear("child " + std::string(what) + ": ");
        EXPECT_TRUE(said.starts_with(forked)) << what << ": " << said;
    }
    EXPECT_EQ(host.hear("child sees "), "0 workers and 0 tools");
    EXPECT_TRUE(host.hear("child another: ").starts_with(forked));
    host.hear("child destroyed the pool");
    works_as_before(host, before);
    child.kill(SIGKILL);
    ASSERT_TRUE(child.is_gone(2s));
    works_as_before(host, before);
    host.tell("stop");
    EXPECT_EQ(host.hear("stop: "), "ok");
}

TEST_F(ForkedHost, HasAChildWithoutAnyDescriptorOfThePool) {
    host_process host(config(2));
    ASSERT_EQ(host.hear("start: "), "ok");
    const auto child = forked(host, "fork");
    host.hear("child destroyed the pool");
    std::set<std::string> pipes;
    for (const auto& worker : host.workers())
        for (const int end : {1, 2, 4}) pipes.insert(descriptors_of(worker.first).at(end));
    EXPECT_EQ(pipes.size(), 6u) << "stdout, stderr and life-line of each";
    for (const auto& [fd, link] : descriptors_of(child.pid())) {
        EXPECT_NE(link, "anon_inode:[pidfd]") << fd;
        EXPECT_FALSE(pipes.contains(link)) << fd << ": " << link;
    }
    child.kill(SIGKILL);
}

TEST_F(ForkedHost, HasAChildThatRunsOnWithTheSameExecutorAndHarmsNobody) {
    auto how = config(2);
    how.fast_pulse = true;
    host_process host(how);
    ASSERT_EQ(host.hear("start: "), "ok");
    const auto before = host.workers();
    const auto child = forked(host, "fork-and-run");
    works_as_before(host, before);
    host.hear("child has run on");  // for ten heartbeats
    EXPECT_FALSE(child.is_gone());
    works_as_before(host, before);
    EXPECT_TRUE(children_of(child.pid()).empty());
    child.kill(SIGKILL);
    ASSERT_TRUE(child.is_gone(2s));
    works_as_before(host, before);
    host.tell("stop");
    EXPECT_EQ(host.hear("stop: "), "ok");
}

TEST_F(ForkedHost, MayLeaveAProgramBehindThatKeepsNothingOfThePool) {
    for (const auto* method : {"fork", "spawn"}) {
        SCOPED_TRACE(method);
        scratch().write("held", "");
        host_process host(config(2, method));
        ASSERT_EQ(host.hear("start: "), "ok");
        for (int i = 0; i < 2; ++i) host.tell("call hold []");
        auto all = held(10);
        add_children(host, all);
        const auto program = forked(host, "spawn");
        ASSERT_TRUE(eventually([&] { return file_text(proc(program) / "comm") == "sleep\n"; }));
        std::string more;
        EXPECT_TRUE(eventually([&] { return (more = kept_by(program)).empty(); }, 1s * slow)) << more;
        host.process().kill(SIGKILL);
        EXPECT_EQ(survivors(all, limit), "");
        EXPECT_FALSE(program.is_gone());
        program.kill(SIGKILL);
    }
}

}  // namespace
}  // namespace snakepit::test
