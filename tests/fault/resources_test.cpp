// A system that has too little of something, or is set up in an odd way. (C9, C48, C51)

#include "process/unique_fd.hpp"
#include "support/control_group.hpp"
#include "support/pool_fixture.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <locale>

namespace snakepit::test {
namespace {

class Resources : public PoolTest, public testing::WithParamInterface<start_method> {
protected:
    [[nodiscard]] pool_options ours(const std::string& module = "strays") const {
        auto how = options(module);
        how.start_method = GetParam();
        how.restart_backoff = {5ms, 50ms};
        return how;
    }
    /// 0: there is none.
    static int zygote_of(int launcher, const std::vector<worker_stats>& workers) {
        for (const auto& child : children_of(launcher))
            if (std::ranges::none_of(workers, [&](const auto& w) { return w.pid == child.pid; })) return child.pid;
        return 0;
    }
};
INSTANTIATE_TEST_SUITE_P(Method, Resources, testing::Values(start_method::fork, start_method::spawn),
                         [](const auto& method) { return method.param == start_method::fork ? "Fork" : "Spawn"; });

/// Descriptors that this process may have, beyond those that it has.
class descriptor_limit {
public:
    explicit descriptor_limit(rlim_t spare) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        auto less = before_;
        less.rlim_cur = static_cast<rlim_t>(descriptors_of(::getpid()).rbegin()->first) + 1 + spare;
        ::setrlimit(RLIMIT_NOFILE, &less);
        // Free numbers below the limit are taken, but for the spare ones.
        for (int fd = ::eventfd(0, EFD_CLOEXEC); fd >= 0; fd = ::eventfd(0, EFD_CLOEXEC)) taken_.emplace_back(fd);
        for (rlim_t i = 0; i < spare; ++i) taken_.pop_back();
    }
    ~descriptor_limit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    descriptor_limit(const descriptor_limit&) = delete;
    descriptor_limit& operator=(const descriptor_limit&) = delete;

private:
    rlimit before_{};
    std::vector<detail::unique_fd> taken_;
};

TEST_P(Resources, AWorkerHasOnlyTheDescriptorsThatItIsToHave) {
    const auto stray = ::open("/dev/zero", O_RDONLY);  // not close-on-exec, as other people's code opens files
    with_pool(ours(), [](pool& p) -> awaitable<> {
        const auto nothing = value::array();
        const auto all = co_await p.execute("descriptors", nothing);
        CO_ASSERT_OK(all);
        int connections = 0;
        int pages = 0;
        for (const auto& [fd, what] : all->items()) {
            const auto link = what.get<std::string>();
            if (fd == "0") EXPECT_EQ(link, "/dev/null");
            else if (fd == "1" || fd == "2" || fd == "4") EXPECT_TRUE(link.starts_with("pipe:")) << fd << ' ' << link;
            else if (fd == "3") EXPECT_TRUE(link.starts_with("socket:")) << link;
            else if (link.starts_with("socket:")) ++connections;
            else if (link.starts_with("/memfd:snakepit-page")) ++pages;  // Python's mmap has a descriptor of its own
            else EXPECT_TRUE(link.starts_with("anon_inode:[event")) << fd << ' ' << link << " is not gRPC's";
        }
        EXPECT_EQ(connections, 1) << all->dump();
        EXPECT_LE(pages, 2) << all->dump();
    });
    ::close(stray);
}

TEST_P(Resources, WithoutDescriptorsTheStartFailsInWordsAndTheNextOneWorks) {
    with_pool(ours(), [](pool& p) -> awaitable<> {  // what gRPC makes once is there
        const auto one = list(1);
        EXPECT_OK(co_await p.execute("echo", one));
    });
    for (const int spare : {0, 2, 4, 8, 12, 16}) {
        SCOPED_TRACE(spare);
        io.reset();
        io.emplace();
        run([&]() -> awaitable<> {
            pool p(io->get_executor(), ours());
            result<void> up;
            {
                const descriptor_limit scarce(static_cast<rlim_t>(spare));
                up = co_await p.start();
            }
            CO_ASSERT(!up);
            EXPECT_TRUE(up.error() == errc::launch_failed || up.error() == errc::socket_directory) << up.error();
            EXPECT_NE(up.error().message().find("descriptor"), std::string::npos) << up.error();
        });
    }
    with_pool(ours(), [](pool& p) -> awaitable<> {
        const auto one = list(1);
        EXPECT_OK(co_await p.execute("echo", one));
    });
}

TEST_P(Resources, APoolThatRunsOutOfDescriptorsRecoversWithThem) {
    with_pool(ours(), [](pool& p) -> awaitable<> {
        const auto one = list(1);
        const auto all = p.stats().workers;
        {
            const descriptor_limit none(0);
            ::kill(all[0].pid, SIGKILL);
            const std::function<bool()> tried = [&] { return p.stats().workers[0].restarts >= 2; };
            EXPECT_TRUE(co_await comes_true(tried)) << p.stats().workers[0].restarts;
            EXPECT_OK(co_await p.execute("echo", one));
            EXPECT_EQ(p.stats().workers[1].pid, all[1].pid) << "the other is not disturbed";
        }
        const std::function<bool()> back = [&] { return p.stats().workers[0].state == worker_state::ready; };
        EXPECT_TRUE(co_await comes_true(back));
        EXPECT_OK(co_await p.execute("echo", one));
    });
}

TEST_P(Resources, WithoutAProcessToSpareWorkersServeOnAndComeBackWhenThereIsOne) {
    const control_group group("pids");
    if (!group.put("pids.max", "max"))
        GTEST_SKIP() << "this machine lets nobody limit the number of processes by control groups";
    with_pool(ours(), [&](pool& p) -> awaitable<> {
        const auto one = list(1);
        const auto nothing = value::array();
        const auto launcher = co_await p.execute("parent", nothing);
        CO_ASSERT_OK(launcher);
        // Launcher and, if there is one, zygote: those that fork.
        const auto workers = p.stats().workers;
        int forkers = 0;
        for (const int pid : {launcher->get<int>(), zygote_of(launcher->get<int>(), workers)}) {
            if (pid == 0) continue;
            ++forkers;
            CO_ASSERT(group.put("cgroup.procs", std::to_string(pid)));
        }
        const bool forked = GetParam() == start_method::fork;
        EXPECT_EQ(forkers, forked ? 2 : 1);
        // A fork takes two: where one may be made, that is the process in between.
        const std::string words = forked ? "cannot fork: [Errno 11]" : "could not start a worker: [Errno 11]";
        for (int spare = forked ? 1 : 0; spare >= 0; --spare) {
            CO_ASSERT(group.put("pids.max", std::to_string(forkers + spare)));
            EXPECT_TRUE(failed_saying(co_await p.recycle("w0"), errc::launch_failed, words));
            EXPECT_NE(p.stats().workers[0].recycling_failed.find(words), std::string::npos);
            EXPECT_EQ(p.stats().workers[0].pid, workers[0].pid) << "the old one serves on";
            EXPECT_OK(co_await p.execute("echo", one));
        }

        ::kill(workers[0].pid, SIGKILL);
        const std::function<bool()> tried = [&] { return p.stats().workers[0].restarts >= 3; };
        CO_ASSERT(co_await comes_true(tried));
        EXPECT_NE(p.stats().workers[0].last_exit.find(words), std::string::npos) << p.stats().workers[0].last_exit;
        EXPECT_OK(co_await p.execute("echo", one));
        EXPECT_EQ(p.stats().workers[1].pid, workers[1].pid) << "the other is not disturbed";

        CO_ASSERT(group.put("pids.max", "max"));
        const std::function<bool()> back = [&] { return p.stats().workers[0].state == worker_state::ready; };
        CO_ASSERT(co_await comes_true(back));
        EXPECT_OK(co_await p.execute("echo", one));
    });
}

TEST_P(Resources, AnyUmaskWillDo) {
    const auto before = ::umask(0);
    for (const mode_t mask : {077, 0777}) {
        ::umask(mask);
        with_pool(ours(), [](pool& p) -> awaitable<> {
            const auto one = list(1);
            EXPECT_OK(co_await p.execute("echo", one));
        });
    }
    ::umask(before);
}

TEST_P(Resources, AnyLocaleOfTheWorkersWillDo) {
    scratch().write("\u00e9/speaking.py", R"(
import os, sys, snakepit
@snakepit.tool
def echo(value): return value
@snakepit.tool
def fail(words): raise ValueError(words)
@snakepit.tool
def die(words):
    print(words, file=sys.stderr, flush=True)
    os._exit(3)
)");
    const std::string words = "Gr\u00f6\u00dfe \u8a9e \U0001f40d";
    using variables = std::map<std::string, std::string>;
    const std::pair<variables, std::string> kinds[] = {
        {{{"LC_ALL", "C"}}, words},
        {{{"LC_ALL", "POSIX"}}, words},
        {{{"LC_ALL", "xx_YY.bogus"}}, words},
        // What Python is to write is ASCII: its streams cannot take more, and all else can.
        {{{"LC_ALL", "C"}, {"PYTHONUTF8", "0"}, {"PYTHONCOERCECLOCALE", "0"}}, "Gr\\xf6\\xdfe \\u8a9e \\U0001f40d"},
    };
    for (const auto& [set, printed] : kinds) {
        SCOPED_TRACE(set.at("LC_ALL") + " " + printed);
        auto how = ours("speaking");
        how.python_path.insert(how.python_path.begin(), (scratch().path() / "\u00e9").string());
        how.environment.insert(set.begin(), set.end());
        with_pool(how, [&](pool& p) -> awaitable<> {
            EXPECT_EQ((co_await p.execute("echo", words)), words);
            EXPECT_TRUE(failed_saying(co_await p.execute("fail", words), errc::tool_raised, words));
            const auto lost = co_await p.execute("die", words);
            CO_ASSERT(!lost && lost.error().exit());
            EXPECT_NE(lost.error().exit()->output_tail.find(printed), std::string::npos) << lost.error();
        });
    }
}

/// As German has it, of the whole program.
class german_numbers : public std::numpunct<char> {
    [[nodiscard]] char do_decimal_point() const override { return ','; }
    [[nodiscard]] char do_thousands_sep() const override { return '.'; }
    [[nodiscard]] std::string do_grouping() const override { return "\3"; }
};

TEST_P(Resources, AnyLocaleOfTheApplicationWillDo) {
    const auto before = std::locale::global(std::locale(std::locale(), new german_numbers));
    with_pool(ours(), [this](pool& p) -> awaitable<> {
        const value numbers = list(1234567, 1234.5);
        const value arguments = list(numbers);
        EXPECT_EQ((co_await p.execute("echo", arguments)), numbers);
        std::string book;
        for (const auto& file : fs::recursive_directory_iterator(runtime()))
            if (file.path().extension() == ".ledger") book = file_text(file.path());
        for (const auto& w : p.stats().workers)
            EXPECT_NE(book.find(fmt::format("\nworker {} ", w.pid)), std::string::npos) << book;
        ::kill(p.stats().workers[0].pid, SIGKILL);
        const std::function<bool()> back = [&] { return p.stats().workers[0].restarts == 1 && is_whole(p); };
        EXPECT_TRUE(co_await comes_true(back));
    });
    std::locale::global(before);
}

TEST_P(Resources, AHomeThatIsNotThereOrCannotBeWrittenToDoesNotMatter) {
    const auto home = scratch().path() / "home";
    fs::create_directory(home);
    fs::permissions(home, fs::perms::owner_read | fs::perms::owner_exec);
    for (const auto& place : {home.string(), std::string("/proc"), std::string("/no/such/home")}) {
        auto how = ours();
        how.environment["HOME"] = place;
        with_pool(how, [](pool& p) -> awaitable<> {
            const auto one = list(1);
            EXPECT_OK(co_await p.execute("echo", one));
        });
    }
}

}  // namespace
}  // namespace snakepit::test
