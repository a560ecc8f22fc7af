// A pool's metrics as Prometheus has them: promtool reads them, a real server scrapes them.

#include "pool/pool_impl.hpp"
#include "support/pool_fixture.hpp"
#include "support/prometheus.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <asio/connect.hpp>
#include <asio/ip/tcp.hpp>

#include <cmath>
#include <cstdlib>
#include <thread>

namespace snakepit::test {
namespace {

using asio::ip::tcp;
using ::testing::HasSubstr;
using ::testing::Not;

class MetricsOfAPool : public PoolTest {
protected:
    pool_options listening(const std::string& address = "127.0.0.1:0") {
        auto how = options();
        how.metrics_listen = address;
        how.heartbeat = {.interval = 50ms, .timeout = 2s * slow, .max_missed = 3, .initial_delay = 0ms, .jitter = 0};
        how.restart_backoff.first = 5ms;
        return how;
    }
    static awaitable<> load(pool& p, int calls) {
        for (int i = 0; i < calls; ++i) EXPECT_OK(co_await p.execute("echo", i));
        EXPECT_TRUE(failed_with(co_await p.execute("no_such_tool"), errc::unknown_tool));
    }
    /// What promtool has to say; empty: nothing.
    std::string complaints_about(const std::string& metrics) {
        const auto text = scratch().write("metrics", metrics);
        const auto said = scratch().path() / "said";
        const auto command = fmt::format("promtool check metrics <'{}' >'{}' 2>&1", text.string(), said.string());
        const int status = std::system(command.c_str());
        return file_text(said) + (status == 0 ? "" : fmt::format("promtool ended with {}", status));
    }
    error failure_of(pool_options how) {
        std::optional<error> why;
        run([&]() -> awaitable<> {
            pool p(io->get_executor(), how);
            const auto up = co_await p.start();
            if (!up) why = up.error();
        });
        return why.value_or(error(errc::already_started, "it has started"));
    }
};

TEST_F(MetricsOfAPool, AreNotCountedWhereNobodyWantsThem) {
    auto how = options();
    how.metrics = false;
    pool p(io->get_executor(), how);
    run([&]() -> awaitable<> {
        CO_ASSERT_OK(co_await p.start());
        co_await load(p, 3);
        EXPECT_EQ(p.metrics(), "");
        EXPECT_EQ(p.stats().succeeded, 3u);
        EXPECT_OK(co_await p.stop());
    });
}

TEST_F(MetricsOfAPool, LeavePromtoolNothingToSay) {
    NEEDS_PROMETHEUS();
    std::string text;
    with_pool(listening(), [&](pool& p) -> awaitable<> {
        co_await load(p, 20);
        CO_ASSERT_OK(co_await p.recycle("w0"));
        text = p.metrics();
    });
    EXPECT_THAT(text, HasSubstr(R"(snakepit_calls_total{group="",outcome="ok",tool="echo"} 20)"));
    EXPECT_THAT(text, HasSubstr(R"(snakepit_calls_total{group="",outcome="unknown_tool",tool=""} 1)"));
    EXPECT_EQ(complaints_about(text), "");
    EXPECT_NE(complaints_about("# TYPE wrong_total gauge\nwrong_total 1\n"), "") << "promtool does look";
}

TEST_F(MetricsOfAPool, AnswerQuestionsInARealPrometheusServer) {
    NEEDS_PROMETHEUS();
    with_pool(
        listening(),
        [](pool& p) -> awaitable<> {
            co_await load(p, 99);
            const prometheus_server server(p.stats().metrics_port);
            CO_ASSERT(server.is_up());
            const auto becomes = [&](std::string query, double wanted) {
                return comes_true([&server, query, wanted] { return server.ask(query) == wanted; }, 20s * slow);
            };
            EXPECT_TRUE(co_await becomes("sum(snakepit_calls_total)", 100)) << server.log();
            EXPECT_EQ(server.ask("up"), 1);
            EXPECT_EQ(server.ask("snakepit_calls_total{outcome='unknown_tool'}"), 1);
            EXPECT_TRUE(co_await becomes("sum(snakepit_workers{state=~'ready|executing'})", 2));
            EXPECT_EQ(server.ask("count(snakepit_workers)"), 8);
            const auto p99 =
                server.ask("histogram_quantile(0.99, sum by (le) (snakepit_call_duration_seconds_bucket))");
            EXPECT_TRUE(p99 && *p99 > 0 && *p99 < 60) << p99.value_or(-1);
            EXPECT_GT(server.ask("min(snakepit_worker_resident_memory_bytes)").value_or(0), 1e6);
            EXPECT_GT(server.ask("sum(snakepit_heartbeat_latency_seconds_count)").value_or(0), 0);
            EXPECT_EQ(server.ask("sum(snakepit_worker_restarts_total)"), 0);

            EXPECT_OK(p.impl()->kill("w0"));
            EXPECT_TRUE(co_await becomes("sum(snakepit_worker_restarts_total)", 1)) << server.log();
            EXPECT_TRUE(co_await becomes("sum(snakepit_worker_ends_total{planned='false',how='signal'})", 1));
            EXPECT_TRUE(co_await becomes("sum(snakepit_workers{state=~'ready|executing'})", 2));
        },
        120s * slow);
}

TEST_F(MetricsOfAPool, AreEmptyBeforeTheStartAndStayAfterTheEnd) {
    run([this]() -> awaitable<> {
        pool p(io->get_executor(), listening());
        EXPECT_EQ(p.metrics(), "");
        EXPECT_EQ(p.stats().metrics_port, 0);
        CO_ASSERT_OK(co_await p.start());
        co_await load(p, 1);
        CO_ASSERT_OK(co_await p.stop());
        EXPECT_THAT(p.metrics(), HasSubstr(R"(snakepit_calls_total{group="",outcome="ok",tool="echo"} 1)"));
        EXPECT_EQ(p.stats().metrics_port, 0);
    });
}

TEST_F(MetricsOfAPool, ForgetWorkersThatHaveLeft) {
    auto how = listening();
    how.workers = {2, 2};
    with_pool(how, [](pool& p) -> awaitable<> {
        EXPECT_THAT(p.metrics(), HasSubstr(R"(snakepit_worker_threads{worker="w1")"));
        const worker_count one{1, 1};
        CO_ASSERT_OK(co_await p.resize(one));
        CO_ASSERT(co_await comes_true([&] { return p.workers().size() == 1; }));
        const auto gone = p.workers()[0].id == "w0" ? "worker=\"w1\"" : "worker=\"w0\"";
        EXPECT_THAT(p.metrics(), Not(HasSubstr(gone)));
    });
}

TEST_F(MetricsOfAPool, AreOnePageOfHttp) {
    with_pool(listening(), [](pool& p) -> awaitable<> {
        co_await load(p, 3);
        const int port = p.stats().metrics_port;
        const auto page = http_get(port, "/metrics?name=x");
        EXPECT_EQ(page.status, 200);
        EXPECT_THAT(page.headers, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8"));
        EXPECT_THAT(page.headers, HasSubstr(fmt::format("Content-Length: {}", page.body.size())));
        EXPECT_THAT(page.body, HasSubstr(R"(snakepit_calls_total{group="",outcome="ok",tool="echo"} 3)"));
        EXPECT_EQ(http_get(port, "/").status, 404);
        const auto head = http_send("127.0.0.1", port, "HEAD /metrics HTTP/1.1\r\n\r\n");
        EXPECT_EQ(head.status, 200);
        EXPECT_EQ(head.body, "");
        EXPECT_EQ(http_send("127.0.0.1", port, "POST /metrics HTTP/1.1\r\n\r\n").status, 405);
        EXPECT_EQ(http_send("127.0.0.1", port, "nonsense\r\n\r\n").status, 400);
        EXPECT_EQ(http_send("127.0.0.1", port, "GET /" + std::string(8 << 10, 'x')).status, 431);
        EXPECT_EQ(http_get(port, "/metrics").status, 200);
        co_return;
    });
}

TEST_F(MetricsOfAPool, AreReadByManyAtOnceWhileCallsAreMade) {
    with_pool(listening(), [](pool& p) -> awaitable<> {
        const int port = p.stats().metrics_port;
        std::atomic<int> read = 0;
        std::vector<std::thread> readers;
        for (int i = 0; i < 8; ++i)
            readers.emplace_back([port, &read] {
                for (int n = 0; n < 10; ++n) read += http_get(port, "/metrics").status == 200 ? 1 : 0;
            });
        co_await load(p, 200);
        for (auto& r : readers) r.join();
        EXPECT_EQ(read, 80);
    });
}

TEST_F(MetricsOfAPool, AreServedByIpv6) {
    if (file_text("/proc/net/if_inet6").find("00000000000000000000000000000001") == std::string::npos)
        GTEST_SKIP() << "this machine has no IPv6";
    with_pool(listening("[::1]:0"), [](pool& p) -> awaitable<> {
        EXPECT_EQ(http_send("::1", p.stats().metrics_port, "GET /metrics HTTP/1.1\r\n\r\n").status, 200);
        co_return;
    });
}

/// Clients that say nothing hold up neither others nor the pool's end.
TEST_F(MetricsOfAPool, AreNotHeldUpBySilentClients) {
    std::vector<tcp::socket> silent;
    with_pool(listening(), [&](pool& p) -> awaitable<> {
        const tcp::endpoint at(asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(p.stats().metrics_port));
        for (int i = 0; i < 10; ++i) silent.emplace_back(*io).connect(at);
        EXPECT_EQ(http_get(at.port(), "/metrics").status, 200);
        co_await load(p, 1);
        const auto asked = clock::now();
        EXPECT_OK(co_await p.stop());
        EXPECT_LT(clock::now() - asked, 5s * slow);  // a client may be silent for ten
        EXPECT_EQ(http_get(at.port(), "/metrics").status, 0);
    });
    silent.clear();
}

TEST_F(MetricsOfAPool, DoNotOutliveAPoolThatIsDestroyedWithoutAStop) {
    run([this]() -> awaitable<> {
        int port = 0;
        {
            pool p(io->get_executor(), listening());
            CO_ASSERT_OK(co_await p.start());
            port = p.stats().metrics_port;
            EXPECT_EQ(http_get(port, "/metrics").status, 200);
        }
        EXPECT_EQ(http_get(port, "/metrics").status, 0);
    });
}

/// Every socket of the server is close-on-exec, and workers have none of them.
TEST_F(MetricsOfAPool, AreServedByNoChildOfThePool) {
    with_pool(listening(), [&](pool& p) -> awaitable<> {
        const auto port = static_cast<std::uint16_t>(p.stats().metrics_port);
        tcp::socket client(*io);
        client.connect({asio::ip::address_v4::loopback(), port});
        const auto is_served = [&](int fd) {
            sockaddr_in at{};
            socklen_t size = sizeof at;
            return ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0 && at.sin_family == AF_INET &&
                   ntohs(at.sin_port) == port;
        };
        std::map<int, std::string> served;
        CO_ASSERT(co_await comes_true([&] {
            served.clear();
            for (const auto& [fd, what] : descriptors_of(::getpid()))
                if (is_served(fd)) served.emplace(fd, what);
            return served.size() == 2;  // the one that listens, and the client's
        }));
        for (const auto& [fd, what] : served) EXPECT_EQ(::fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC) << what;
        EXPECT_OK(p.impl()->kill("w0"));  // the next one is started while there is a client
        CO_ASSERT(co_await comes_true([&] { return p.stats().workers[0].restarts == 1 && is_whole(p); }, 20s * slow));
        for (const auto& child : processes())
            for (const auto& [number, theirs] : descriptors_of(child.pid))
                for (const auto& [fd, ours] : served) EXPECT_NE(theirs, ours) << child << " has it as " << number;
    });
}

/// A child that the application forks has no metrics, and does not keep the port.
TEST_F(MetricsOfAPool, AreNothingOfAForkedChild) {
    int port = 0;
    int pid = 0;
    with_pool(listening(), [&](pool& p) -> awaitable<> {
        port = p.stats().metrics_port;
        pid = ::fork();
        if (pid == 0) {
            if (!p.metrics().empty()) ::_exit(1);
            ::pause();
        }
        EXPECT_EQ(http_get(port, "/metrics").status, 200);
        co_return;
    });
    const tcp::endpoint same(asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(port));
    EXPECT_NO_THROW(tcp::acceptor(*io, same)) << "the child has it";
    EXPECT_TRUE(is_alive(pid));
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
}

TEST_F(MetricsOfAPool, CannotBeAtAPortThatIsTaken) {
    tcp::acceptor other(*io, {asio::ip::address_v4::loopback(), 0});
    const auto address = fmt::format("127.0.0.1:{}", other.local_endpoint().port());
    const auto why = failure_of(listening(address));
    other.close();
    EXPECT_EQ(why, errc::listen_failed) << why.full();
    EXPECT_THAT(why.message(), HasSubstr(address + ": Address already in use; "));
    EXPECT_THAT(why.message(), HasSubstr("another port, or 0"));
}

TEST_F(MetricsOfAPool, CannotBeAtAnAddressOfAnotherMachine) {
    const auto why = failure_of(listening("192.0.2.1:0"));
    EXPECT_EQ(why, errc::listen_failed) << why.full();
    EXPECT_THAT(why.message(), HasSubstr("192.0.2.1:0: Cannot assign requested address; "));
    EXPECT_THAT(why.message(), HasSubstr("0.0.0.0"));
}

TEST_F(MetricsOfAPool, CannotBeAtANameThatIsNone) {
    const auto why = failure_of(listening("no-such-host.invalid:0"));
    EXPECT_EQ(why, errc::listen_failed) << why.full();
    EXPECT_THAT(why.message(), HasSubstr("no-such-host.invalid:0: "));
}

}  // namespace
}  // namespace snakepit::test
