// A system that has too little of something, or is set up in an odd way. (C9, C48, C51)

#include "process/unique_fd.hpp"
#include "support/pool_fixture.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <csignal>

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
