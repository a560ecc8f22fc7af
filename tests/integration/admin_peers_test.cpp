// What nobody can do to a pool by its admin socket, and where pools are found.

#include "admin/admin_server.hpp"
#include "pool/pool_impl.hpp"
#include "support/admin_fixture.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <sstream>

namespace snakepit::test {
namespace {

using ::testing::HasSubstr;

/// How many the pool has taken.
std::size_t connections_at(const fs::path& socket) {
    std::istringstream lines(file_text("/proc/net/unix"));
    std::size_t found = 0;
    for (std::string line; std::getline(lines, line);)
        if (line.ends_with(socket.string()) && line.find(" 03 ") != line.npos) ++found;
    return found;
}

TEST_F(Admin, RequestsThatMakeNoSenseAreToldWhatThereIs) {
    struct bad {
        const char* line;
        const char* code;
        const char* words;
    };
    static constexpr bad all[] = {
        {"", "bad_request", "not JSON"},
        {"status", "bad_request", "not JSON"},
        {"{\"command\": \"status\"", "bad_request", "not JSON"},
        {"\xff\xfe{}", "bad_request", "not JSON"},
        {"[]", "bad_request", "a request is an object"},
        {"{}", "bad_request", "\"command\""},
        {R"({"command": 1})", "bad_request", "\"command\""},
        {R"({"command": "stats"})", "unknown_command", "no command \"stats\"; there are: status, workers, stack,"},
        {R"({"command": "stack"})", "bad_request", "\"stack\" needs the field \"worker\" (a text)"},
        {R"({"command": "stack", "worker": 0})", "bad_request", "\"worker\" of \"stack\" is to be a text"},
        {R"({"command": "status", "all": true})", "bad_request", "\"status\" has no field \"all\"; it has none"},
        {R"({"command": "resize", "n": 1})", "bad_request",
         "no field \"n\"; there are: \"min\" (a whole number), \"max\" (a whole number), \"group\" (a text)"},
        {R"({"command": "resize", "min": 1.5})", "bad_request", "is to be a whole number"},
        {R"({"command": "resize", "min": 99999999999})", "bad_request", "is to be a whole number"},
        {R"({"command": "resize", "min": 5, "max": 2})", "invalid_options", "workers.max"},
        {R"({"command": "stack", "worker": "w9"})", "bad_arguments", "no worker \"w9\"; there are: w0"},
        {R"({"command": "recycle", "worker": "w9"})", "bad_arguments", "no worker \"w9\"; there are: w0"},
        {R"({"command": "kill", "worker": "w9"})", "bad_arguments", "no worker \"w9\"; there are: w0"},
        {R"({"command": "events", "worker": "w9"})", "bad_arguments", "no worker \"w9\"; there are: w0"},
        {R"({"command": "events", "only": "worker_ended"})", "bad_request", "is to be a list of texts"},
        {R"({"command": "events", "only": [1]})", "bad_request", "is to be a list of texts"},
        {R"({"command": "events", "only": ["worker_endet"]})", "bad_arguments", "did you mean worker_ended, "},
        {R"({"command": "events", "follow": "yes"})", "bad_request", "is to be true or false"},
        {R"({"command": "loglevel", "level": 1})", "bad_request", "is to be a text"},
    };
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        auto c = connect();
        for (const auto& one : all) {
            const value reply = co_await c.ask(one.line);
            EXPECT_EQ(reply["ok"], false) << one.line;
            EXPECT_EQ(code_of(reply), one.code) << one.line;
            EXPECT_THAT(message_of(reply), HasSubstr(one.words)) << one.line;
        }
        const value reply = co_await c.ask(R"({"command": "status"})");
        EXPECT_EQ(reply["ok"], true) << "the connection goes on";
        EXPECT_EQ(p.workers()[0].incarnation, 1u);
        EXPECT_EQ(p.workers().size(), 1u);
    });
}

TEST_F(Admin, DeepNestingIsOnlyARequestThatMakesNoSense) {
    with_pool(one_worker(), [&](pool&) -> awaitable<> {
        auto c = connect();
        const auto half = detail::longest_request / 2 - 1;
        const auto deep = std::string(half, '[') + std::string(half, ']');
        const value reply = co_await c.ask(deep);
        EXPECT_EQ(code_of(reply), "bad_request");
    });
}

TEST_F(Admin, ALineThatIsTooLongEndsItsConnection) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        auto fits = connect();
        const auto line = R"({"command": "status"})" + std::string(detail::longest_request - 21, ' ');
        CO_ASSERT(line.size() == detail::longest_request);
        value reply = co_await fits.ask(line);
        EXPECT_EQ(reply["ok"], true) << message_of(reply);
        auto c = connect();
        const std::string endless(4 << 20, 'x');
        asio::co_spawn(*io, c.send(endless), [](std::exception_ptr, bool all) { EXPECT_FALSE(all); });
        const std::optional<value> said = co_await c.read();
        CO_ASSERT(said);
        EXPECT_EQ(code_of(*said), "bad_request");
        EXPECT_THAT(message_of(*said), HasSubstr("at most 65536 bytes"));
        const std::optional<value> none = co_await c.read();
        EXPECT_FALSE(none);
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Admin, APeerThatHasSaidAllGetsItsAnswers) {
    with_pool(one_worker(), [&](pool&) -> awaitable<> {
        auto c = connect();
        CO_ASSERT(
            co_await c.send("{\"command\": \"drain\"}\n{\"command\": \"recycle\", \"worker\": \"w0\"}\n"
                            "{\"command\": \"resume\"}\n{\"command\": \"drain\"}"));
        c.half_close();
        for (int i = 0; i < 3; ++i) {
            const std::optional<value> reply = co_await c.read();
            CO_ASSERT(reply);
            EXPECT_EQ(*reply, value({{"ok", true}}));
        }
        const std::optional<value> none = co_await c.read();
        EXPECT_FALSE(none) << "a line without its end is none";
        auto other = connect();
        const value reply = co_await other.ask(R"({"command": "status"})");
        EXPECT_EQ(reply["draining"], false);
        EXPECT_EQ(reply["workers"]["all"], 1);
    });
}

TEST_F(Admin, APeerThatReadsNoAnswersIsNotReadFrom) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        auto c = connect();
        int flags = 1;
        ::ioctl(c.socket().native_handle(), FIONBIO, &flags);
        const std::string request = "{\"command\": \"workers\"}\n";
        // Until nothing moves any more: what is on its way is bounded by the kernel's buffers.
        std::size_t sent = 0;
        for (int idle = 0; idle < 100;) {
            const auto put = ::send(c.socket().native_handle(), request.data(), request.size(), MSG_NOSIGNAL);
            if (put > 0) {
                sent += static_cast<std::size_t>(put);
                idle = 0;
                continue;
            }
            ++idle;
            co_await wait_for(2ms);
        }
        EXPECT_LT(sent, std::size_t{4} << 20);
        auto other = connect();
        const value reply = co_await other.ask(R"({"command": "status"})");
        EXPECT_EQ(reply["ok"], true);
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Admin, WhoFollowsTooSlowlyIsToldHowMuchWasLeftOut) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        auto c = connect();
        const value reply = co_await c.ask(R"({"command": "events", "follow": true, "only": ["pool_draining"]})");
        EXPECT_EQ(reply["ok"], true);
        constexpr std::uint64_t count = 20'000;
        for (std::uint64_t i = 0; i < count; ++i) {
            p.impl()->drain();
            p.impl()->resume();
            if (i % 100 == 0) co_await wait_for(0ms);
        }
        std::uint64_t told = 0;
        std::uint64_t dropped = 0;
        while (told + dropped < count) {
            const std::optional<value> line = co_await c.read();
            CO_ASSERT(line);
            if (line->contains("dropped")) dropped += line->at("dropped").get<std::uint64_t>();
            else ++told;
        }
        EXPECT_GT(dropped, 0u);
        EXPECT_GE(told, 1'024u);
    });
}

TEST_F(Admin, WhoAsksNothingKeepsNobodyOut) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        std::vector<client> all;
        for (std::size_t i = 0; i < detail::admin_server::most_connections; ++i) all.push_back(connect());
        value reply;
        const auto until = clock::now() + 30s * slow;
        while (!(reply.is_object() && reply.value("ok", false)) && clock::now() < until) {
            co_await wait_for(50ms);
            auto one = connect();
            reply = co_await one.ask(R"({"command": "loglevel"})");
        }
        EXPECT_TRUE(reply.is_object() && reply.value("ok", false)) << reply;
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Admin, OneMoreThan32ConnectionsIsTurnedAwayWithWords) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        std::vector<client> all;
        for (std::size_t i = 0; i < detail::admin_server::most_connections; ++i) {
            all.push_back(connect());
            const value reply = co_await all.back().ask(R"({"command": "loglevel"})");
            EXPECT_EQ(reply["ok"], true);
        }
        auto more = connect();
        const std::optional<value> said = co_await more.read();
        CO_ASSERT(said);
        EXPECT_EQ(code_of(*said), "too_many_connections");
        const std::optional<value> none = co_await more.read();
        EXPECT_FALSE(none);
        all.pop_back();
        value reply = "hung up";
        while (reply == "hung up" || code_of(reply) == "too_many_connections") {  // until it has been noticed
            auto again = connect();
            reply = co_await again.ask(R"({"command": "loglevel"})");
        }
        EXPECT_EQ(reply["ok"], true);
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Admin, WhenAPeerVanishesNobodyWaitsForItsAnswer) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        asio::co_spawn(*io, p.execute("hold", "a"), [](std::exception_ptr, const result<value>& r) { EXPECT_OK(r); });
        CO_ASSERT(co_await begun(1));
        const auto path = sockets().at(0);
        for (const auto* request :
             {"{\"command\": \"recycle\", \"worker\": \"w0\"}\n", "{\"command\": \"stack\", \"worker\": \"w0\"}\n",
              "{\"command\": \"events\", \"follow\": true}\n", "half a line"}) {
            auto c = connect();
            CO_ASSERT(co_await c.send(request));
            const std::function<bool()> is_taken = [path] { return connections_at(path) == 1; };
            CO_ASSERT(co_await comes_true(is_taken));
            c.close();
            const std::function<bool()> is_gone = [path] { return connections_at(path) == 0; };
            EXPECT_TRUE(co_await comes_true(is_gone)) << request;
        }
        scratch().write("a.go", "");
        const std::function<bool()> is_replaced = [&p] { return p.workers()[0].incarnation == 2 && is_whole(p); };
        EXPECT_TRUE(co_await comes_true(is_replaced, 10s * slow)) << "what was asked for goes on";
    });
}

TEST_F(Admin, SeveralPoolsInOneNamedDirectoryAreFoundByLinks) {
    auto how = one_worker();
    how.socket_directory = (scratch().path() / "named").string();
    with_pool(how, [&](pool&) -> awaitable<> {
        pool second(io->get_executor(), how);
        CO_ASSERT_OK(co_await second.start());
        const auto found = detail::find_pools();
        std::size_t ours = 0;
        for (const auto& f : found)
            if (f.socket.starts_with(how.socket_directory)) {
                ++ours;
                EXPECT_TRUE(f.link.starts_with(runtime().string())) << f.link;
            }
        EXPECT_EQ(ours, 2u);
        EXPECT_OK(co_await second.stop());
        EXPECT_EQ(sockets().size(), 1u);
        auto c = connect();
        const value reply = co_await c.ask(R"({"command": "status"})");
        EXPECT_EQ(reply["ok"], true);
    });
    EXPECT_TRUE(fs::is_empty(how.socket_directory));
    EXPECT_TRUE(fs::is_empty(runtime()));
}

TEST_F(Admin, PoolsOfAllUsersAreFoundOnlyWhenTheyAreWanted) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can make what another user has";
    constexpr uid_t nobody = 65534;
    const auto theirs = runtime() / "snakepit-theirs";
    fs::create_directory(theirs);
    const auto socket_of = [](const fs::path& path, uid_t owner) {
        asio::io_context any;
        const asio::local::stream_protocol::acceptor made(any, {path});
        EXPECT_EQ(::lchown(path.c_str(), owner, owner), 0);
    };
    socket_of(theirs / "0.admin", nobody);
    socket_of(theirs / "1.admin", 0);  // not that user's, whatever the directory
    const auto link = [](const fs::path& from, const fs::path& to) {
        fs::create_symlink(to, from);
        EXPECT_EQ(::lchown(from.c_str(), nobody, nobody), 0);
    };
    socket_of(runtime() / "ours.admin", 0);
    link(runtime() / "snakepit-2.admin", runtime() / "ours.admin");
    EXPECT_EQ(::lchown(theirs.c_str(), nobody, nobody), 0);
    EXPECT_TRUE(sockets().empty());
    std::vector<std::string> found;
    for (const auto& p : detail::find_pools(true))
        if (p.socket.starts_with(runtime().string())) found.push_back(p.socket);
    EXPECT_THAT(found, ::testing::ElementsAre((theirs / "0.admin").string()));
    detail::forget({"/no/such/socket", (runtime() / "snakepit-2.admin").string()});
    EXPECT_TRUE(fs::is_symlink(runtime() / "snakepit-2.admin")) << "another user's link stays";
    fs::remove_all(theirs);
    fs::remove(runtime() / "snakepit-2.admin");
    fs::remove(runtime() / "ours.admin");
}

TEST_F(Admin, APoolThatCannotHaveTheSocketDoesNotStart) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        const asio::strand<asio::any_io_executor> on(io->get_executor());
        const auto nowhere = detail::admin_server::open(on, p.impl(), "/no/such/directory/0.admin");
        EXPECT_TRUE(failed_saying(nowhere, errc::socket_directory, "/no/such/directory/0.admin", "No such file"));
        const auto too_long = detail::admin_server::open(on, p.impl(), '/' + std::string(200, 'x'));
        EXPECT_TRUE(failed_saying(too_long, errc::socket_directory, "xxx"));
        co_return;
    });
}

TEST_F(Admin, AnotherUserIsTurnedAwayEvenWhenTheDoorStandsOpen) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        const auto path = sockets().at(0);
        for (auto dir = path.parent_path(); dir != "/tmp"; dir = dir.parent_path()) ::chmod(dir.c_str(), 0755);
        ::chmod(path.c_str(), 0777);
        constexpr uid_t nobody = 65534;
        const pid_t child = ::fork();
        if (child == 0) {
            if (::setresuid(nobody, nobody, nobody) != 0) ::_exit(99);
            const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            sockaddr_un to{};
            to.sun_family = AF_UNIX;
            path.string().copy(to.sun_path, sizeof to.sun_path - 1);
            if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) ::_exit(98);
            char byte = 0;
            ::_exit(::recv(fd, &byte, 1, 0) == 0 ? 0 : 97);
        }
        int status = -1;
        const std::function<bool()> has_ended = [child, &status] {
            return ::waitpid(child, &status, WNOHANG) == child;
        };
        CO_ASSERT(co_await comes_true(has_ended, 10s * slow));
        EXPECT_EQ(status, 0);
        auto c = connect();
        const value reply = co_await c.ask(R"({"command": "events", "only": ["connection_refused"]})");
        CO_ASSERT(reply["events"].size() == 1);
        EXPECT_THAT(reply["events"][0]["why"].get<std::string>(), HasSubstr("another user"));
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

}  // namespace
}  // namespace snakepit::test
