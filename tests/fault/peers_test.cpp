// Who comes through the door, and with what. (C39 to C43)

#include "support/pool_fixture.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>

namespace snakepit::test {
namespace {

constexpr uid_t nobody = 65534;

class Peers : public PoolTest {
protected:
    [[nodiscard]] fs::path socket_path() const {
        for (const auto& entry : fs::recursive_directory_iterator(runtime()))
            if (entry.path().extension() == ".sock") return entry.path();
        return {};
    }
    [[nodiscard]] pool_options hostile() const {
        auto how = options("hostile");
        how.workers.min = 1;
        return how;
    }
};

/// Connects and waits for the other side. @return  0 when it was turned away without a word, 1 when it said something,
/// 2 when nothing happened for 5 s, or 100 + errno when it could not connect
int knock(const fs::path& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    path.string().copy(to.sun_path, sizeof to.sun_path - 1);
    int outcome = 0;
    if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
        outcome = 100 + errno;
    } else {
        constexpr std::string_view hello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        (void)!::send(fd, hello.data(), hello.size(), MSG_NOSIGNAL);
        pollfd there{fd, POLLIN, 0};
        char byte = 0;
        if (::poll(&there, 1, 5000) != 1) outcome = 2;
        else outcome = ::recv(fd, &byte, 1, 0) > 0 ? 1 : 0;
    }
    ::close(fd);
    return outcome;
}

/// The same from a process of its own, of another user if one is given.
int knock_from_a_child(const fs::path& path, uid_t user = ::geteuid()) {
    const pid_t child = ::fork();
    if (child == 0) {
        if (user != ::geteuid() && ::setresuid(user, user, user) != 0) ::_exit(99);
        ::_exit(knock(path));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// In a thread, since the door is opened by the pool's executor.
awaitable<int> elsewhere(std::function<int()> what) {
    auto outcome = std::make_shared<std::atomic<int>>(-2);
    std::thread worker([what = std::move(what), outcome] { *outcome = what(); });
    // Named: as a temporary in the co_await expression g++ 12 would destroy it twice.
    const std::function<bool()> is_there = [outcome] { return *outcome != -2; };
    const bool came = co_await comes_true(is_there, 20s * slow);
    worker.join();
    co_return came ? outcome->load() : -3;
}

TEST_F(Peers, AProcessThatThePoolDidNotStartIsTurnedAway) {
    with_pool(options(), [this](pool& p) -> awaitable<> {
        const auto path = socket_path();
        const std::function<int()> child = [path] { return knock_from_a_child(path); };
        EXPECT_EQ(co_await elsewhere(child), 0);
        const std::function<int()> ourselves = [path] { return knock(path); };
        EXPECT_EQ(co_await elsewhere(ourselves), 0) << "not even the host's own process";
        EXPECT_EQ(p.stats().refused_connections, 2u);
        EXPECT_EQ((co_await p.call<int>("add", 1)), 11);
    });
}

TEST_F(Peers, AnotherUserCannotReachTheSocket) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
    with_pool(options(), [this](pool& p) -> awaitable<> {
        const auto path = socket_path();
        const std::function<int()> other_user = [path] { return knock_from_a_child(path, nobody); };
        EXPECT_EQ(co_await elsewhere(other_user), 100 + EACCES);
        EXPECT_EQ(p.stats().refused_connections, 0u);
    });
}

TEST_F(Peers, AnotherUserIsTurnedAwayEvenWhenTheDoorStandsOpen) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
    with_pool(options(), [this](pool& p) -> awaitable<> {
        const auto path = socket_path();
        for (auto dir = path.parent_path(); dir != "/tmp"; dir = dir.parent_path()) ::chmod(dir.c_str(), 0755);
        ::chmod(path.c_str(), 0777);
        const std::function<int()> other_user = [path] { return knock_from_a_child(path, nobody); };
        EXPECT_EQ(co_await elsewhere(other_user), 0);
        EXPECT_EQ(p.stats().refused_connections, 1u);
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Peers, TheSocketAndItsDirectoryAreOurs) {
    const auto before = ::umask(0);
    with_pool(options(), [this](pool&) -> awaitable<> {
        struct stat s{};
        CO_ASSERT(::stat(socket_path().c_str(), &s) == 0);
        EXPECT_EQ(s.st_mode & 0777u, 0600u);
        CO_ASSERT(::stat(socket_path().parent_path().c_str(), &s) == 0);
        EXPECT_EQ(s.st_mode & 0777u, 0700u);
        co_return;
    });
    ::umask(before);
}

TEST_F(Peers, AWorkerConnectsOnce) {
    with_pool(hostile(), [this](pool& p) -> awaitable<> {
        EXPECT_EQ(co_await p.execute("connect_again", list(socket_path().string())), false);
        EXPECT_EQ(p.stats().refused_connections, 1u);
        EXPECT_EQ(p.stats().workers[0].incarnation, 1u);
    });
}

TEST_F(Peers, ATokenIsGoodForOneStreamOfEachKind) {
    with_pool(hostile(), [](pool& p) -> awaitable<> {
        const value unchanged = value::object();
        for (const char* method : {"Control", "Work"}) {
            const auto said = co_await p.execute("open_stream", list(method, unchanged));
            CO_ASSERT_OK(said);
            EXPECT_EQ(said->at(0), "UNAUTHENTICATED");
            EXPECT_EQ(said->at(1), std::string("this token was used for ") + method + " before");
        }
        EXPECT_EQ(p.stats().refused_connections, 2u);
        EXPECT_EQ(p.stats().workers[0].incarnation, 1u) << "the streams that are there go on";
    });
}

TEST_F(Peers, WrongOrMissingCredentialsAreRefused) {
    with_pool(hostile(), [](pool& p) -> awaitable<> {
        const value wrong = bytes(std::vector<std::uint8_t>(32, 1));
        const value longer = bytes(std::vector<std::uint8_t>(33, 1));
        const value no_token = nullptr;
        const std::vector<std::pair<value, std::string>> attempts = {
            {args("snakepit-token-bin", wrong), "wrong token"},
            {args("snakepit-token-bin", longer), "wrong token"},
            {args("snakepit-token-bin", no_token), "wrong token"},
            {args("snakepit-worker", "w1"), "wrong worker or incarnation"},
            {args("snakepit-incarnation", "2"), "wrong worker or incarnation"},
            {args("snakepit-incarnation", no_token), "wrong worker or incarnation"},
        };
        for (const auto& [changed, why] : attempts) {
            const auto said = co_await p.execute("open_stream", list("Control", changed));
            CO_ASSERT_OK(said);
            EXPECT_EQ(said->at(0), "UNAUTHENTICATED");
            EXPECT_EQ(said->at(1), why);
        }
        EXPECT_EQ(p.stats().refused_connections, attempts.size());
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Peers, AFloodOfStreamsIsRefusedAndChangesNothing) {
    with_pool(hostile(), [](pool& p) -> awaitable<> {
        const auto said = co_await p.execute("flood_control", 200);
        CO_ASSERT_OK(said);
        EXPECT_EQ(said->size(), 200u);
        for (const auto& code : *said) EXPECT_EQ(code, "UNAUTHENTICATED");
        EXPECT_OK(co_await p.execute("echo", 1));
        EXPECT_EQ(p.stats().workers[0].incarnation, 1u);
    });
}

TEST_F(Peers, AWorkerWithAWrongTokenFailsTheStart) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), module_of(R"(
import snakepit
from snakepit import _worker
real = _worker._metadata
_worker._metadata = lambda launch: (*real(launch)[:2], ("snakepit-token-bin", b"x" * 32))
@snakepit.tool
def f(): pass
)"));
        EXPECT_TRUE(failed_saying(co_await p.start(), errc::launch_failed, "UNAUTHENTICATED", "wrong token"));
        EXPECT_EQ(p.stats().refused_connections, 1u);
    });
}

TEST_F(Peers, AWorkerThatAsksForWorkBeforeItIsWelcomeFailsTheStart) {
    run([&]() -> awaitable<> {
        auto how = module_of(R"(
import grpc
import os
import snakepit
from snakepit import _control
class Impatient:
    def __init__(self, channel, metadata, hello, *rest):
        stream = channel.stream_stream("/snakepit.v1.Host/Work")(iter(()), metadata=metadata)
        try: next(stream)
        except grpc.RpcError as error: print(error.details(), flush=True)
        os._exit(9)
_control.Control = Impatient
@snakepit.tool
def f(): pass
)");
        pool p(io->get_executor(), how);
        const auto up = co_await p.start();
        EXPECT_FALSE(up);
        CO_ASSERT(!up && up.error().exit());
        EXPECT_EQ(up.error().exit()->code, 9);
        EXPECT_EQ(up.error().exit()->output_tail, "Work before Welcome");
    });
}

TEST_F(Peers, AWorkerThatConnectsAndSaysNothingFailsTheStart) {
    run([&]() -> awaitable<> {
        auto how = module_of(R"(
import snakepit, socket, time
from snakepit import _worker
def mute(address):
    s = socket.socket(socket.AF_UNIX)
    s.connect(address.partition(":")[2])
    time.sleep(60)
_worker._dial = mute
@snakepit.tool
def f(): pass
)");
        pool p(io->get_executor(), how);
        const auto before = clock::now();
        EXPECT_TRUE(failed_saying(co_await p.start(), errc::start_timeout, "hello"));
        EXPECT_LT(clock::now() - before, 10s * slow) << "5 s after it has connected, not at the end of start_timeout";
    });
}

TEST_F(Peers, AnotherVersionOfTheProtocolIsNamed) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), module_of(R"(
import snakepit
from snakepit import _worker
_worker.PROTOCOL_MAJOR, _worker.PROTOCOL_MINOR = 7, 3
@snakepit.tool
def f(): pass
)"));
        EXPECT_TRUE(failed_saying(co_await p.start(), errc::protocol_mismatch, "1.0", "7.3"));
    });
}

TEST_F(Peers, AHelloThatBreaksItsLimitsIsRefused) {
    const std::pair<const char*, const char*> spoilt[] = {
        {"del hello.tools[:]", "no tools"},
        {"hello.tools.add(name='f')", "two tools are named f"},
        {"hello.tools.add(name='x' * 201)", "too long"},
        {"hello.tools.add(name='')", "empty"},
        {"hello.tools[0].doc = 'd' * 5000", "too long"},
        {"hello.tools[0].parameters.add(name='p', kind=9)", "no known kind"},
    };
    for (const auto& [how, why] : spoilt) {
        SCOPED_TRACE(how);
        run([&, spoil = how, wanted = why]() -> awaitable<> {
            pool p(io->get_executor(), module_of(std::string(R"(
import snakepit
from snakepit import _worker
real = _worker._hello
def spoil(*a):
    hello = real(*a)
    )") + spoil + R"(
    return hello
_worker._hello = spoil
@snakepit.tool
def f(): pass
)"));
            EXPECT_TRUE(failed_saying(co_await p.start(), errc::protocol_violation, wanted));
        });
    }
}

TEST_F(Peers, TheTokenIsInNobodysArgumentsOrEnvironment) {
    with_pool(hostile(), [](pool& p) -> awaitable<> {
        const auto places = co_await p.execute("where_the_token_is");
        CO_ASSERT_OK(places);
        EXPECT_EQ(*places, value::array());
    });
}

TEST_F(Peers, AWorkerHasOnlyTheDescriptorsItNeeds) {
    // Whatever the application has open, with or without close-on-exec.
    const auto secret = scratch().write("secret", "text");
    const int file = ::open(secret.c_str(), O_RDONLY);
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    with_pool(hostile(), [&](pool& p) -> awaitable<> {
        const auto open = co_await p.execute("descriptors");
        CO_ASSERT_OK(open);
        const auto mine = descriptors_of(::getpid());
        std::size_t sockets = 0;
        CO_ASSERT(open->size() > 5);
        EXPECT_EQ(open->at(0), "/dev/null");
        for (const auto& link : *open) {
            const auto text = link.get<std::string>();
            EXPECT_NE(text, secret.string());
            EXPECT_NE(text, mine.at(listener));
            sockets += text.starts_with("socket:");
        }
        EXPECT_EQ(sockets, 2u) << open->dump() << ": the one it was launched on, the one to the host";
    });
    ::close(file);
    ::close(listener);
}

}  // namespace
}  // namespace snakepit::test
