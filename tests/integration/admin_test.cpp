// What operators can do by the admin socket, and what nobody can do to a pool by it.

#include "admin/admin_server.hpp"
#include "admin/discovery.hpp"
#include "pool/pool_impl.hpp"
#include "support/pool_fixture.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <asio/local/stream_protocol.hpp>
#include <asio/read_until.hpp>
#include <asio/redirect_error.hpp>
#include <asio/write.hpp>
#include <cerrno>
#include <sstream>

namespace snakepit::test {
namespace {

using ::testing::HasSubstr;
using protocol = asio::local::stream_protocol;

/// An operator.
class client {
public:
    client(asio::io_context& on, const fs::path& socket) : peer_(on) { peer_.connect(protocol::endpoint(socket)); }

    awaitable<bool> send(std::string text) {
        asio::error_code failed;
        co_await asio::async_write(peer_, asio::buffer(text), asio::redirect_error(asio::use_awaitable, failed));
        co_return !failed;
    }
    /// The next line; nothing: the pool has hung up.
    awaitable<std::optional<value>> read() {
        asio::error_code failed;
        const auto size = co_await asio::async_read_until(peer_, asio::dynamic_buffer(input_), '\n',
                                                          asio::redirect_error(asio::use_awaitable, failed));
        if (failed) co_return std::nullopt;
        const auto line = input_.substr(0, size);
        input_.erase(0, size);
        co_return value::parse(line);
    }
    awaitable<value> ask(std::string line) {
        co_await send(std::move(line) + "\n");
        const std::optional<value> reply = co_await read();
        co_return reply ? *reply : value("hung up");
    }
    void half_close() { peer_.shutdown(protocol::socket::shutdown_send); }
    void close() { peer_.close(); }
    [[nodiscard]] protocol::socket& socket() noexcept { return peer_; }

private:
    protocol::socket peer_;
    std::string input_;
};

std::string code_of(const value& reply) {
    return reply.is_object() && reply.contains("error") ? reply["error"]["code"].get<std::string>() : reply.dump();
}
std::string message_of(const value& reply) {
    return reply.is_object() && reply.contains("error") ? reply["error"]["message"].get<std::string>() : reply.dump();
}

/// How many the pool has taken.
std::size_t connections_at(const fs::path& socket) {
    std::istringstream lines(file_text("/proc/net/unix"));
    std::size_t found = 0;
    for (std::string line; std::getline(lines, line);)
        if (line.ends_with(socket.string()) && line.find(" 03 ") != line.npos) ++found;
    return found;
}

class Admin : public PoolTest {
protected:
    [[nodiscard]] std::vector<fs::path> sockets() const {
        std::vector<fs::path> found;
        for (const auto& p : detail::find_pools())
            if (p.socket.starts_with(runtime().string()) || p.socket.starts_with(scratch().path().string()))
                found.emplace_back(p.socket);
        return found;
    }
    [[nodiscard]] client connect() { return {*io, sockets().at(0)}; }
    [[nodiscard]] pool_options one_worker() const {
        auto how = options();
        how.workers.min = 1;
        return how;
    }
    awaitable<bool> begun(std::size_t lines) {
        const auto log = scratch().path() / "log";
        const std::function<bool()> has = [log, lines] { return line_count(log) >= lines; };
        co_return co_await comes_true(has, 10s * slow);
    }
};

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

TEST_F(Admin, EventsAreFollowedAsTheyHappen) {
    with_pool(options(), [&](pool& p) -> awaitable<> {
        auto all = connect();
        auto of_w1 = connect();
        value reply =
            co_await all.ask(R"({"command": "events", "follow": true, "only": ["worker_ended", "call_ended"]})");
        EXPECT_EQ(reply, value({{"ok", true}}));
        reply =
            co_await of_w1.ask(R"({"command": "events", "follow": true, "only": ["worker_ended"], "worker": "w1"})");
        EXPECT_EQ(reply, value({{"ok", true}}));
        EXPECT_OK(co_await p.execute("echo", 1));
        std::optional<value> e = co_await all.read();
        CO_ASSERT(e);
        EXPECT_EQ(e->at("event"), "call_ended");
        EXPECT_EQ(e->at("tool"), "echo");
        auto c = connect();
        for (const auto* worker : {"w0", "w1"}) {
            const auto line = fmt::format(R"({{"command": "kill", "worker": "{}"}})", worker);
            reply = co_await c.ask(line);
            EXPECT_EQ(reply["ok"], true);
            e = co_await all.read();
            CO_ASSERT(e);
            EXPECT_EQ(e->at("event"), "worker_ended");
            EXPECT_EQ(e->at("worker"), worker);
        }
        e = co_await of_w1.read();
        CO_ASSERT(e);
        EXPECT_EQ(e->at("worker"), "w1");
    });
}

TEST_F(Admin, EventsThatHaveHappenedAreKept) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        auto c = connect();
        value reply = co_await c.ask(R"({"command": "kill", "worker": "w0"})");
        const std::function<bool()> is_back = [&p] { return p.workers()[0].restarts == 1 && is_whole(p); };
        CO_ASSERT(co_await comes_true(is_back, 10s * slow));
        reply = co_await c.ask(R"({"command": "events", "only": ["worker_ended", "pool_started"]})");
        CO_ASSERT(reply["events"].size() == 2);
        EXPECT_EQ(reply["events"][0]["event"], "pool_started");
        EXPECT_EQ(reply["events"][1]["event"], "worker_ended");
        EXPECT_EQ(reply["events"][1]["why"]["code"], "worker_lost");
        reply = co_await c.ask(R"({"command": "events", "worker": "w0"})");
        EXPECT_GT(reply["events"].size(), 3u);
        reply = co_await c.ask(R"({"command": "events", "only": ["call_ended"]})");
        EXPECT_EQ(message_of(reply), "\"call_ended\" is not kept: follow the events to see it");
    });
}

TEST_F(Admin, EventsOfAWorkerThatHasLeftAreKept) {
    with_pool(options(), [&](pool& p) -> awaitable<> {
        auto c = connect();
        value reply = co_await c.ask(R"({"command": "resize", "min": 1})");
        const std::function<bool()> has_left = [&p] { return p.workers().size() == 1; };
        CO_ASSERT(co_await comes_true(has_left, 10s * slow));
        const std::string gone = p.workers()[0].id == "w0" ? "w1" : "w0";
        reply = co_await c.ask(fmt::format(R"({{"command": "events", "worker": "{}"}})", gone));
        EXPECT_FALSE(reply["events"].empty()) << reply;
        reply = co_await c.ask(R"({"command": "events", "worker": "w9"})");
        EXPECT_EQ(code_of(reply), "bad_arguments");
        reply = co_await c.ask(R"({"command": "events", "worker": "w9", "follow": true})");
        EXPECT_EQ(reply, value({{"ok", true}}));
    });
}

TEST_F(Admin, OnlyTheLast256EventsAreKept) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        for (int i = 0; i < 300; ++i) {
            p.impl()->drain();
            p.impl()->resume();
        }
        auto c = connect();
        const value reply = co_await c.ask(R"({"command": "events"})");
        EXPECT_EQ(reply["events"].size(), 256u);
        EXPECT_EQ(reply["events"][255]["event"], "pool_resumed");
    });
}

TEST_F(Admin, WhoFollowsHearsOfThePoolsEnd) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), options());
        CO_ASSERT_OK(co_await p.start());
        auto c = connect();
        const value reply = co_await c.ask(R"({"command": "events", "follow": true, "only": ["pool_stopped"]})");
        EXPECT_EQ(reply["ok"], true);
        EXPECT_OK(co_await p.stop());
        const std::optional<value> last = co_await c.read();
        CO_ASSERT(last);
        EXPECT_EQ(last->at("event"), "pool_stopped");
        const std::optional<value> none = co_await c.read();
        EXPECT_FALSE(none);
    });
}

TEST_F(Admin, WhoWaitsWhenThePoolStopsIsToldSo) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), one_worker());
        CO_ASSERT_OK(co_await p.start());
        asio::co_spawn(*io, p.execute("hold", "a"), [](std::exception_ptr, const result<value>&) {});
        CO_ASSERT(co_await begun(1));
        auto c = connect();
        auto idle = connect();
        CO_ASSERT(co_await c.send("{\"command\": \"recycle\", \"worker\": \"w0\"}\n"));
        const std::function<bool()> is_at_it = [&p] {
            return p.workers()[0].state == worker_state::recycling || p.workers()[0].incarnation > 1;
        };
        CO_ASSERT(co_await comes_true(is_at_it, 10s * slow));
        scratch().write("a.go", "");
        EXPECT_OK(co_await p.stop());
        const std::optional<value> reply = co_await c.read();
        CO_ASSERT(reply);
        EXPECT_TRUE(reply->contains("ok")) << *reply;
        const std::optional<value> none = co_await idle.read();
        EXPECT_FALSE(none);
    });
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
        const protocol::acceptor made(any, protocol::endpoint(path));
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
