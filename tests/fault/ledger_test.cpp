// What a host has left that could not clean up behind itself goes at the next start, and nothing else does. (C1, C6,
// C7, C48, S17)

#include "process/ledger.hpp"
#include "process/pidfd.hpp"
#include "process/process_facts.hpp"
#include "support/host_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <fstream>
#include <thread>

extern char** environ;

namespace snakepit::test {
namespace {

/// A process that has nothing to do with any pool.
class stranger {
public:
    stranger() {
        std::string program = "sleep";
        std::string time = "600";
        char* argv[] = {program.data(), time.data(), nullptr};
        pid_t pid = 0;
        EXPECT_EQ(::posix_spawnp(&pid, "sleep", nullptr, nullptr, argv, environ), 0);
        process_.emplace(pid);
    }
    ~stranger() {
        process_->kill(SIGKILL);
        ::waitpid(process_->pid(), nullptr, 0);
    }
    stranger(const stranger&) = delete;
    stranger& operator=(const stranger&) = delete;
    [[nodiscard]] const watched_process& process() const { return *process_; }
    [[nodiscard]] int pid() const { return process_->pid(); }
    [[nodiscard]] std::uint64_t started() const { return detail::start_time_of(pid()).value_or(0); }

private:
    std::optional<watched_process> process_;
};

class Ledger : public HostTest {
protected:
    /// A worker whose life-line was disarmed, stuck in C, and its strays, whose launcher was killed before the host.
    [[nodiscard]] std::vector<watched_process> crash(const std::string& socket_directory = {}) const {
        auto how = config(1);
        how.socket_directory = socket_directory;
        std::vector<watched_process> left;
        host_process host(how);
        EXPECT_EQ(host.hear("start: "), "ok");
        host.tell("call disarm []");
        EXPECT_EQ(host.hear("disarm: "), "null");
        host.tell("call hold [true]");
        left = held(5);
        for (const auto& launcher : children_of(host.process().pid())) {
            const watched_process killed(launcher.pid);
            killed.kill(SIGKILL);
            EXPECT_TRUE(killed.is_gone(2s));
        }
        host.process().kill(SIGKILL);
        EXPECT_TRUE(host.process().is_gone(2s));
        std::this_thread::sleep_for(100ms);  // a hundred times what a life-line takes
        for (const auto& p : left) EXPECT_FALSE(p.is_gone()) << "something else ends it, and this test shows nothing";
        return left;
    }
    void start_and_look(const std::vector<watched_process>& left, const pool_options& how) {
        with_pool(how, [&](pool& p) -> awaitable<> {
            const std::function<bool()> gone = [&] { return survivors(left, 0s).empty(); };
            EXPECT_TRUE(co_await comes_true(gone, 2s)) << survivors(left, 0s);
            EXPECT_OK(co_await p.execute("echo", 1));
        });
    }
    /// A ledger whose host is gone.
    fs::path write_ledger(const std::string& lines, const std::string& place = here()) const {
        const auto dir = runtime() / "snakepit-abcdef";
        fs::create_directory(dir);
        fs::permissions(dir, fs::perms::owner_all);
        std::ofstream(dir / "0.sock") << "";
        std::ofstream(dir / "0.ledger") << "snakepit-ledger 1\nplace " << place << "\nhost 1 1\n" << lines;
        return dir;
    }
    static std::string here() {
        auto boot = file_text("/proc/sys/kernel/random/boot_id");
        boot.pop_back();
        struct stat space{};
        ::stat("/proc/self/ns/pid", &space);
        return fmt::format("{}/{}", boot, space.st_ino);
    }
    static std::string line(const stranger& of, std::int64_t later = 0) {
        return fmt::format("worker {} {}\n", of.pid(), static_cast<std::int64_t>(of.started()) + later);
    }
};

TEST_F(Ledger, WhatAKilledHostHasLeftGoesAtTheNextStart) {
    const auto left = crash();
    EXPECT_FALSE(fs::is_empty(runtime()));
    start_and_look(left, options());
    EXPECT_TRUE(fs::is_empty(runtime())) << leftovers();
}

TEST_F(Ledger, AlsoInADirectoryThatTheUserHasNamed) {
    const auto named = runtime() / "named";
    const auto left = crash(named.string());
    auto how = options();
    how.socket_directory = named.string();
    start_and_look(left, how);
    EXPECT_TRUE(fs::is_empty(named)) << leftovers();
}

TEST_F(Ledger, HostsAndPoolsThatLiveAreLeftAlone) {
    host_process host(config(2));
    ASSERT_EQ(host.hear("start: "), "ok");
    const auto before = host.workers();
    const auto count = [this] { return std::distance(fs::directory_iterator(runtime()), fs::directory_iterator()); };
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), options());
        pool q(io->get_executor(), options());
        CO_ASSERT_OK(co_await p.start());
        const auto workers = p.stats();
        CO_ASSERT_OK(co_await q.start());
        EXPECT_EQ(count(), 3);
        EXPECT_OK(co_await p.execute("echo", 1));
        EXPECT_OK(co_await q.execute("echo", 1));
        EXPECT_OK(co_await q.stop());
        EXPECT_OK(co_await p.execute("echo", 1));
        EXPECT_EQ(p.stats().workers[0].pid, workers.workers[0].pid);
        EXPECT_OK(co_await p.stop());
    });
    EXPECT_EQ(count(), 1);
    EXPECT_EQ(host.workers(), before);
    host.tell("call echo [1]");
    EXPECT_EQ(host.hear("echo: "), "1");
    host.tell("stop");
    EXPECT_EQ(host.hear("stop: "), "ok");
}

TEST_F(Ledger, SaysWhatRunsAndEndsWithThePool) {
    with_pool(options("strays"), [this](pool& p) -> awaitable<> {
        std::string text;
        for (const auto& file : fs::recursive_directory_iterator(runtime()))
            if (file.path().extension() == ".ledger") text = file_text(file.path());
        const auto said = [&](const char* what, int pid) {
            const auto known = fmt::format("\n{} {} {}", what, pid, detail::start_time_of(pid).value_or(0));
            EXPECT_NE(text.find(known), text.npos) << known << " is not in: " << text;
        };
        said("host", ::getpid());
        const auto nothing = value::array();
        const auto launcher = co_await p.execute("parent", nothing);
        CO_ASSERT_OK(launcher);
        said("launcher", launcher->get<int>());
        for (const auto& w : p.stats().workers) said("worker", w.pid);
        EXPECT_NE(text.find("\nzygote "), text.npos);
    });
    EXPECT_TRUE(fs::is_empty(runtime()));
}

TEST_F(Ledger, NobodyIsKilledForANumberThatWasSomebodyElses) {
    const stranger reused;
    const stranger of_another_boot;
    const stranger torn;
    const stranger meant;
    auto dir = write_ledger(line(reused, 1) + line(reused, -1) + "worker 1 1\nworker 0 0\nworker -1 1\ngarbage\n\n" +
                            line(meant) + fmt::format("worker {} {}", torn.pid(), torn.started()));
    detail::clean_up(dir.string(), true);
    EXPECT_TRUE(meant.process().is_gone(2s));
    EXPECT_FALSE(fs::exists(dir));
    for (const auto* place : {"another-boot/1", "unknown", ""}) {
        dir = write_ledger(line(of_another_boot), place);
        detail::clean_up(dir.string(), true);
        EXPECT_FALSE(fs::exists(dir)) << "its host is gone all the same";
    }
    for (const auto* s : {&reused, &of_another_boot, &torn}) EXPECT_FALSE(s->process().is_gone(50ms));
}

TEST_F(Ledger, WhatIsNotAnOldLedgerOfOursIsLeftAlone) {
    const stranger other;
    const auto dir = write_ledger(line(other));
    fs::permissions(dir, fs::perms::all);
    detail::clean_up(dir.string(), true);
    fs::permissions(dir, fs::perms::owner_all);
    EXPECT_TRUE(fs::exists(dir / "0.ledger")) << "others may have written it";
    fs::permissions(dir / "0.ledger", fs::perms::all);
    detail::clean_up(dir.string(), true);
    EXPECT_TRUE(fs::exists(dir / "0.ledger"));
    fs::permissions(dir / "0.ledger", fs::perms::owner_read);
    {  // locked, as by its host
        const detail::unique_fd fd(::open((dir / "0.ledger").c_str(), O_RDONLY | O_CLOEXEC));
        ::flock(fd.get(), LOCK_EX);
        detail::clean_up(dir.string(), true);
        EXPECT_TRUE(fs::exists(dir / "0.ledger"));
    }
    fs::rename(dir / "0.ledger", dir / "elsewhere");
    fs::create_symlink(dir / "elsewhere", dir / "1.ledger");
    std::ofstream(dir / "2.ledger") << "snake";  // a host that has just begun
    fs::create_directory(dir / "3.ledger");
    ::mkfifo((dir / "4.ledger").c_str(), 0600);
    detail::clean_up(dir.string(), true);
    for (const auto* name : {"1.ledger", "2.ledger", "3.ledger", "4.ledger"})
        EXPECT_TRUE(fs::is_symlink(dir / name) || fs::exists(dir / name)) << name;
    EXPECT_FALSE(other.process().is_gone(50ms));
    const auto fresh = runtime() / "snakepit-fresh0";
    fs::create_directory(fresh);
    fs::permissions(fresh, fs::perms::owner_all);
    detail::clean_up(fresh.string(), true);
    EXPECT_TRUE(fs::exists(fresh)) << "its host is about to use it";
    fs::last_write_time(fresh, fs::file_time_type::clock::now() - 1h);
    detail::clean_up(fresh.string(), true);
    EXPECT_FALSE(fs::exists(fresh));
    fs::remove_all(dir);
}

TEST_F(Ledger, ManyHostsThatStartAtOnceCleanUpTogether) {
    constexpr int dead = 20;
    std::vector<std::unique_ptr<stranger>> left;
    for (int i = 0; i < dead; ++i) {
        left.push_back(std::make_unique<stranger>());
        const auto dir = write_ledger(line(*left.back()));
        fs::rename(dir, runtime() / fmt::format("snakepit-dead{:02}", i));
    }
    std::vector<std::unique_ptr<host_process>> hosts;
    for (int i = 0; i < 4; ++i) hosts.push_back(std::make_unique<host_process>(config(1)));
    for (const auto& h : hosts) EXPECT_EQ(h->hear("start: "), "ok");
    for (const auto& s : left) EXPECT_TRUE(s->process().is_gone(2s));
    EXPECT_EQ(std::distance(fs::directory_iterator(runtime()), fs::directory_iterator()), 4);
    for (const auto& h : hosts) {
        h->tell("call echo [1]");
        EXPECT_EQ(h->hear("echo: "), "1");
        h->tell("stop");
        EXPECT_EQ(h->hear("stop: "), "ok");
    }
    EXPECT_TRUE(fs::is_empty(runtime()));
}

TEST_F(Ledger, ForgetsWhatHasEndedAndKeepsWhatHasNot) {
    const auto dir = runtime() / "snakepit-abcdef";
    fs::create_directory(dir);
    fs::permissions(dir, fs::perms::owner_all);
    detail::ledger book;
    EXPECT_OK(book.open((dir / "0.ledger").string(), dir.string()));
    const auto record = [&](const stranger& s) {
        const auto pidfd = detail::open_pidfd(s.pid());
        book.record("worker", s.pid(), pidfd.get());
    };
    const stranger stays;
    record(stays);
    for (int i = 0; i < 600; ++i) record(stranger());
    EXPECT_LT(line_count(dir / "0.ledger"), 3u + 256u);
    EXPECT_NE(file_text(dir / "0.ledger").find(line(stays)), std::string::npos);
    EXPECT_FALSE(fs::exists(dir / "0.ledger-new"));
    detail::clean_up(dir.string(), true);
    EXPECT_TRUE(fs::exists(dir / "0.ledger")) << "the new file is locked as the old one was";
    EXPECT_FALSE(stays.process().is_gone());
    book.close();
    EXPECT_FALSE(fs::exists(dir));
}

/// A file system of one page, seen by this thread and what it starts alone, so that it goes with them. The rest of this
/// program does not see it any more when the object has ended.
class tiny_disk {
public:
    explicit tiny_disk(fs::path at) : at_(std::move(at)) {
        made_ = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                ::mount("tmpfs", at_.c_str(), "tmpfs", 0, "size=4k,mode=0700") == 0;
    }
    ~tiny_disk() {
        if (!made_) return;
        EXPECT_EQ(::umount2(at_.c_str(), MNT_DETACH), 0);
    }
    tiny_disk(const tiny_disk&) = delete;
    tiny_disk& operator=(const tiny_disk&) = delete;
    [[nodiscard]] bool made() const { return made_; }
    void grow() const { EXPECT_EQ(::mount("tmpfs", at_.c_str(), "tmpfs", MS_REMOUNT, "size=1m,mode=0700"), 0); }

private:
    fs::path at_;
    bool made_ = false;
};
constexpr auto may_not_mount = "this user may not mount a file system in a namespace of its own";

TEST_F(Ledger, WithoutRoomForItTheStartFailsInWordsAndTheNextOneWorks) {
    const tiny_disk disk(runtime());
    if (!disk.made()) GTEST_SKIP() << may_not_mount;
    const auto filler = runtime() / "filler";
    std::ofstream(filler) << std::string(4096, 'x');
    ASSERT_EQ(fs::file_size(filler), 4096u);
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), options());
        EXPECT_TRUE(failed_saying(co_await p.start(), errc::socket_directory, "cannot keep a ledger", "No space left"));
    });
    fs::remove(filler);
    EXPECT_TRUE(fs::is_empty(runtime())) << leftovers();
    with_pool(options(), [](pool& p) -> awaitable<> { EXPECT_OK(co_await p.execute("echo", 1)); });
}

TEST_F(Ledger, OnADiskThatIsFullIsMadeGoodWhenThereIsRoomAgain) {
    const tiny_disk disk(runtime());
    if (!disk.made()) GTEST_SKIP() << may_not_mount;
    const auto file = runtime() / "0.ledger";
    detail::ledger book;
    ASSERT_TRUE(book.open(file.string(), ""));
    const auto record = [&](const std::string& what, const stranger& s) {
        const auto pidfd = detail::open_pidfd(s.pid());
        book.record(what, s.pid(), pidfd.get());
    };
    const stranger torn;
    const stranger left_out;
    const stranger later;
    {
        const stranger short_lived;
        const auto room = 4096 - 10 - fs::file_size(file) - (line(short_lived).size() - std::string("worker").size());
        record(std::string(room, 'x'), short_lived);
    }
    record("worker", torn);
    ASSERT_EQ(fs::file_size(file), 4096u);
    ASSERT_EQ(file_text(file).find(line(torn)), std::string::npos);
    record("worker", left_out);
    EXPECT_FALSE(fs::exists(runtime() / "0.ledger-new"));
    disk.grow();
    record("worker", later);
    for (const auto* s : {&torn, &left_out, &later})
        EXPECT_NE(file_text(file).find("\n" + line(*s)), std::string::npos);
    EXPECT_EQ(line_count(file), 3u + 3u);
    book.close();
    EXPECT_TRUE(fs::is_empty(runtime()));
}

}  // namespace
}  // namespace snakepit::test
