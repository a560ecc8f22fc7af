// What events and stats become in Prometheus' eyes, and the table of it in the documentation.

#include "telemetry/metrics.hpp"
#include "telemetry/listen_address.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

class Metrics : public ::testing::Test {
protected:
    template <class Kind>
    void tell(Kind what) {
        bus_.publish([&] { return what; });
    }
    static happened::call_ended call(std::string tool, std::string outcome = "ok") {
        happened::call_ended e;
        e.tool = std::move(tool);
        e.group = "io";
        e.outcome = std::move(outcome);
        e.submitted = std::chrono::steady_clock::time_point(1s);
        e.ended = e.submitted + 10ms;
        e.queued = 2ms;
        e.running = 3ms;
        e.attempts = {{"io-0", e.submitted + 2ms, e.ended, e.outcome}};
        return e;
    }
    static happened::call_ended refused(std::string tool, std::string outcome) {
        auto e = call(std::move(tool), std::move(outcome));
        e.attempts.clear();
        return e;
    }
    static happened::worker_ended ended_by(int code, int signal, bool planned = false, bool for_memory = false) {
        worker_exit how;
        how.code = code;
        how.signal = signal;
        if (for_memory) how.out_of_memory = "the kernel says so";
        return {"io-0", 1, planned, error(errc::worker_lost, "gone").with_exit(std::move(how))};
    }
    /// Everything that there can be has a value.
    void fill() {
        tell(happened::worker_hired{"io-0", "io"});
        tell(call("read"));
        tell(happened::output_dropped{"io-0", 1, "stdout", 7});
        tell(happened::tool_degraded{"io", "crash"});
    }
    /// The value of one line of the text; -1: there is none.
    double value_of(const std::string& series) const {
        const auto text = metrics_.text();
        const auto at = text.find('\n' + series + ' ');
        return at == text.npos ? -1 : std::stod(text.substr(at + series.size() + 2));
    }
    std::size_t lines_with(const std::string& beginning) const {
        const auto text = metrics_.text();
        std::size_t count = 0;
        for (auto at = text.find('\n' + beginning); at != text.npos; at = text.find('\n' + beginning, at + 1)) ++count;
        return count;
    }

    event_bus bus_;
    pool_stats stats_ = [] {
        pool_stats s;
        group_stats g;
        g.name = "io";
        g.submitted = 5;
        g.queued_batch = 3;
        g.in_flight = 2;
        g.bytes_sent = 1'000;
        s.groups = {g};
        worker_stats w;
        w.id = "io-0";
        w.group = "io";
        w.state = worker_state::ready;
        w.pid = ::getpid();
        w.credit = 4;
        w.age = 1'500ms;
        w.lane = "direct";
        w.heartbeat.gc = {{{9, 90, 0}, {5, 50, 0}, {1, 10, 2}}};
        s.workers = {w};
        s.sessions = 9;
        s.draining = true;
        return s;
    }();
    const pool_metrics metrics_{bus_, [this] { return stats_; }, queue_limits{{"io", 100}}};
};

TEST_F(Metrics, CountCallsByToolGroupAndOutcome) {
    tell(call("read"));
    tell(call("read"));
    tell(call("read", "tool_raised"));
    tell(call("write"));
    EXPECT_EQ(value_of(R"(snakepit_calls_total{group="io",outcome="ok",tool="read"})"), 2);
    EXPECT_EQ(value_of(R"(snakepit_calls_total{group="io",outcome="tool_raised",tool="read"})"), 1);
    EXPECT_EQ(value_of(R"(snakepit_calls_total{group="io",outcome="ok",tool="write"})"), 1);
}

TEST_F(Metrics, MeasureEachPartOfACallInSeconds) {
    tell(call("read"));
    EXPECT_DOUBLE_EQ(value_of(R"(snakepit_call_queue_seconds_sum{group="io",tool="read"})"), 0.002);
    EXPECT_DOUBLE_EQ(value_of(R"(snakepit_call_service_seconds_sum{group="io",tool="read"})"), 0.003);
    EXPECT_DOUBLE_EQ(value_of(R"(snakepit_call_duration_seconds_sum{group="io",tool="read"})"), 0.01);
    EXPECT_EQ(value_of(R"(snakepit_call_duration_seconds_bucket{group="io",tool="read",le="0.005"})"), 0);
    EXPECT_EQ(value_of(R"(snakepit_call_duration_seconds_bucket{group="io",tool="read",le="0.01"})"), 1);  // as long
    EXPECT_EQ(value_of(R"(snakepit_call_duration_seconds_bucket{group="io",tool="read",le="0.025"})"), 1);
}

TEST_F(Metrics, MeasureNothingOfACallThatWasRefusedAtOnce) {
    tell(refused("read", "queue_full"));
    EXPECT_EQ(value_of(R"(snakepit_calls_total{group="io",outcome="queue_full",tool="read"})"), 1);
    EXPECT_EQ(value_of(R"(snakepit_call_duration_seconds_count{group="io",tool="read"})"), 0);
    tell(refused("read", "deadline_exceeded"));  // it has waited
    EXPECT_EQ(value_of(R"(snakepit_call_queue_seconds_count{group="io",tool="read"})"), 1);
    EXPECT_EQ(value_of(R"(snakepit_call_service_seconds_count{group="io",tool="read"})"), 0);
}

TEST_F(Metrics, HaveOneSeriesForAllToolsThatThereAreNot) {
    tell(call("read"));
    const auto before = lines_with("snakepit_calls_total{");
    for (int i = 0; i < 10'000; ++i) tell(refused(fmt::format("made_up_{}", i), "unknown_tool"));
    for (const char* early : {"not_started", "pool_stopped", "pool_degraded", "deadline_exceeded", "cancelled"})
        for (int i = 0; i < 100; ++i) tell(refused(fmt::format("made_up_{}", i), early));
    EXPECT_EQ(lines_with("snakepit_calls_total{"), before + 6);
    EXPECT_EQ(value_of(R"(snakepit_calls_total{group="io",outcome="unknown_tool",tool=""})"), 10'000);
    EXPECT_EQ(value_of(R"(snakepit_calls_total{group="io",outcome="pool_stopped",tool=""})"), 100);
    EXPECT_THAT(metrics_.text(), Not(HasSubstr("made_up")));
}

TEST_F(Metrics, NameTheToolOfALateCallThatIsKnown) {
    tell(call("read"));
    tell(refused("read", "deadline_exceeded"));
    EXPECT_EQ(value_of(R"(snakepit_calls_total{group="io",outcome="deadline_exceeded",tool="read"})"), 1);
}

TEST_F(Metrics, CountWhatBecomesOfWorkersByTheirGroup) {
    tell(happened::worker_hired{"io-0", "io"});
    EXPECT_EQ(value_of(R"(snakepit_worker_restarts_total{group="io",reason="silent"})"), 0)
        << "there before the first restart";
    tell(ended_by(-1, 9));
    tell(ended_by(3, 0));
    tell(ended_by(-1, 9, false, true));
    tell(ended_by(0, 0, true));
    tell(happened::worker_restarting{"io-0", 1, 10ms, restart_reason::silent});
    tell(happened::worker_recycled{"io-0", 3, recycle_reason::memory});
    EXPECT_EQ(value_of(R"(snakepit_worker_ends_total{group="io",how="signal",planned="false"})"), 1);
    EXPECT_EQ(value_of(R"(snakepit_worker_ends_total{group="io",how="exit",planned="false"})"), 1);
    EXPECT_EQ(value_of(R"(snakepit_worker_ends_total{group="io",how="out_of_memory",planned="false"})"), 1);
    EXPECT_EQ(value_of(R"(snakepit_worker_ends_total{group="io",how="exit",planned="true"})"), 1);
    EXPECT_EQ(value_of(R"(snakepit_worker_restarts_total{group="io",reason="silent"})"), 1);
    EXPECT_EQ(value_of(R"(snakepit_worker_restarts_total{group="io",reason="exit"})"), 0);
    EXPECT_EQ(value_of(R"(snakepit_worker_recycles_total{group="io",reason="memory"})"), 1);
    EXPECT_EQ(value_of(R"(snakepit_worker_recycles_total{group="io",reason="age"})"), 0);
}

TEST_F(Metrics, CountWhatIsHeardOfWorkers) {
    tell(happened::worker_hired{"io-0", "io"});
    tell(happened::heartbeat_answered{"io-0", 1, 300us, 0});
    tell(happened::output_dropped{"io-0", 1, "stdout", 7});
    tell(happened::output_dropped{"io-0", 1, "stdout", 5});
    tell(happened::loop_blocked{"io-0", 1, 1s, "read", "a stack"});
    tell(happened::loop_blocked{"io-0", 1, 2s, "read", ""});  // it turns again
    happened::call_slow slow;
    slow.worker = "io-0";
    slow.tool = "read";
    tell(slow);
    EXPECT_EQ(value_of(R"(snakepit_heartbeat_latency_seconds_bucket{group="io",le="0.0005"})"), 1);
    EXPECT_EQ(value_of(R"(snakepit_output_dropped_lines_total{group="io",stream="stdout"})"), 12);
    EXPECT_EQ(value_of(R"(snakepit_blocked_loops_total{group="io"})"), 1);
    EXPECT_EQ(value_of(R"(snakepit_slow_calls_total{group="io"})"), 1);
}

TEST_F(Metrics, ReadTheRestFromStatsAtThatMoment) {
    EXPECT_EQ(value_of("snakepit_sessions"), 9);
    EXPECT_EQ(value_of("snakepit_draining"), 1);
    EXPECT_EQ(value_of(R"(snakepit_calls_in_flight{group="io"})"), 2);
    EXPECT_EQ(value_of(R"(snakepit_queue_calls{group="io",priority="batch"})"), 3);
    EXPECT_EQ(value_of(R"(snakepit_queue_limit{group="io"})"), 100);
    EXPECT_EQ(value_of(R"(snakepit_sent_bytes_total{group="io"})"), 1'000);
    EXPECT_EQ(value_of(R"(snakepit_workers{group="io",state="ready"})"), 1);
    EXPECT_EQ(value_of(R"(snakepit_workers{group="io",state="dead"})"), 0);
    EXPECT_EQ(value_of(R"(snakepit_group_degraded{group="io"})"), 0);
    EXPECT_EQ(value_of(R"(snakepit_worker_age_seconds{worker="io-0",group="io"})"), 1.5);
    stats_.groups[0].degraded = "io-0: has died too often";
    EXPECT_EQ(value_of(R"(snakepit_group_degraded{group="io"})"), 1);
}

TEST_F(Metrics, LookAtTheWorkersProcess) {
    EXPECT_GT(value_of(R"(snakepit_worker_resident_memory_bytes{worker="io-0",group="io"})"), 1e6);
    EXPECT_GE(value_of(R"(snakepit_worker_cpu_seconds_total{worker="io-0",group="io"})"), 0);
    EXPECT_GE(value_of(R"(snakepit_worker_open_fds{worker="io-0",group="io"})"), 3);
    EXPECT_EQ(value_of(R"(snakepit_worker_threads{worker="io-0",group="io"})"), 1);
}

TEST_F(Metrics, SayWhatWasShedAndWhy) {
    tell(happened::worker_hired{"io-0", "io"});
    EXPECT_EQ(value_of(R"(snakepit_calls_shed_total{group="io",reason="queue_full"})"), 0);
    tell(refused("read", "queue_full"));
    tell(refused("read", "deadline_exceeded"));
    tell(refused("read", "tool_degraded"));
    tell(refused("read", "cancelled"));
    tell(call("read", "deadline_exceeded"));  // a worker had it
    for (const auto* reason : {"queue_full", "deadline_exceeded", "tool_degraded"})
        EXPECT_EQ(value_of(fmt::format(R"(snakepit_calls_shed_total{{group="io",reason="{}"}})", reason)), 1) << reason;
    EXPECT_EQ(lines_with("snakepit_calls_shed_total"), 3u);
}

TEST_F(Metrics, SayWhichToolIsOutOfService) {
    tell(happened::tool_degraded{"io", "crash"});
    EXPECT_EQ(value_of(R"(snakepit_tool_degraded{group="io",tool="crash"})"), 1);
    tell(happened::tool_recovered{"io", "crash"});
    EXPECT_EQ(value_of(R"(snakepit_tool_degraded{group="io",tool="crash"})"), 0);
}

TEST_F(Metrics, SayByWhichLaneCallsGoAndWhatTheCollectorDoes) {
    EXPECT_EQ(value_of(R"(snakepit_worker_lane{worker="io-0",group="io",lane="direct"})"), 1);
    EXPECT_EQ(value_of(R"(snakepit_worker_gc_collections_total{worker="io-0",group="io",generation="0"})"), 9);
    EXPECT_EQ(value_of(R"(snakepit_worker_gc_collected_objects_total{worker="io-0",group="io",generation="1"})"), 50);
    EXPECT_EQ(value_of(R"(snakepit_worker_gc_uncollectable_objects_total{worker="io-0",group="io",generation="2"})"),
              2);
}

TEST_F(Metrics, MeasureCallsAsOpenTelemetryHasThemWhereThatIsWanted) {
    EXPECT_EQ(lines_with("rpc_"), 0u);
    const pool_metrics wanted(bus_, [this] { return stats_; }, {}, true);
    tell(call("read"));
    tell(call("read", "tool_raised"));
    tell(refused("read", "queue_full"));
    const auto text = wanted.text();
    const auto of = [](const char* side, const char* outcome, const char* type) {
        return fmt::format(R"(rpc_{}_call_duration_seconds_count{{error_type="{}",group="io",rpc_method="read",)"
                           R"(rpc_status_code="{}",rpc_system_name="snakepit"}} )",
                           side, type, outcome);
    };
    EXPECT_THAT(text, HasSubstr(of("client", "ok", "") + "1"));
    EXPECT_THAT(text, HasSubstr(of("client", "tool_raised", "tool_raised") + "1"));
    EXPECT_THAT(text, HasSubstr(of("client", "queue_full", "queue_full") + "1"));
    EXPECT_THAT(text, HasSubstr(of("server", "ok", "") + "1"));
    EXPECT_THAT(text, HasSubstr(of("server", "queue_full", "queue_full") + "0"));  // no worker had it
}

TEST_F(Metrics, ForgetAWorkerThatHasLeftAndTheProcessOfOneThatHasEnded) {
    stats_.workers[0].pid = 0;
    EXPECT_EQ(lines_with("snakepit_worker_threads{"), 0u);
    EXPECT_EQ(lines_with("snakepit_worker_credit{"), 1u);
    stats_.workers.clear();
    EXPECT_EQ(lines_with("snakepit_worker_credit{"), 0u);
}

TEST_F(Metrics, CountEachEventOfManyThreadsWhileTheyAreRead) {
    constexpr int threads = 4;
    constexpr int calls = 5'000;
    std::vector<std::thread> telling;
    for (int t = 0; t < threads; ++t)
        telling.emplace_back([this, t] {
            for (int i = 0; i < calls; ++i) tell(call(fmt::format("tool_{}", (t + i) % 8)));
        });
    for (int i = 0; i < 20; ++i) EXPECT_FALSE(metrics_.collect().empty());
    for (auto& t : telling) t.join();
    double all = 0;
    double measured = 0;
    for (int i = 0; i < 8; ++i) {
        all += value_of(fmt::format(R"(snakepit_calls_total{{group="io",outcome="ok",tool="tool_{}"}})", i));
        measured += value_of(fmt::format(R"(snakepit_call_service_seconds_count{{group="io",tool="tool_{}"}})", i));
    }
    EXPECT_EQ(all, threads * calls);
    EXPECT_EQ(measured, threads * calls);
}

const char* type_name(prometheus::MetricType type) {
    if (type == prometheus::MetricType::Histogram) return "histogram";
    return type == prometheus::MetricType::Counter ? "counter" : "gauge";
}

std::string table_of(const std::vector<prometheus::MetricFamily>& families) {
    std::string table =
        "# Metrics\n\n"
        "What `pool.metrics()` and `pool_options::metrics_listen` tell to Prometheus, and OTLP to collectors. "
        "Generated\n"
        "from the library by `tests/unit/metrics_test.cpp`, which fails when the two differ; with\n"
        "`SNAKEPIT_UPDATE_DOCS=1` in its environment it writes this file.\n\n"
        "Labels have as many values as the pool has tools, groups and workers, and errors their names: what callers\n"
        "make up (names of tools that there are not, sessions, calls, traces) is none of them. The pool's own group "
        "is\n"
        "`\"\"` unless `pool_options::group` names it. A worker's series end when it leaves.\n\n"
        "| metric | type | labels | meaning |\n|---|---|---|---|\n";
    for (const auto& f : families) {
        std::string labels;
        for (const auto& l : f.metric.front().label)
            labels += fmt::format("{}`{}`", labels.empty() ? "" : ", ", l.name);
        table += fmt::format("| `{}` | {} | {} | {} |\n", f.name, type_name(f.type), labels, f.help);
    }
    table +=
        "\n## By OpenTelemetry's conventions\n\n"
        "Over OTLP workers' processes are there by the names of OpenTelemetry's semantic conventions as well, each as "
        "a\n"
        "resource of its own with the attribute `snakepit.worker`: `process.memory.usage`, `process.cpu.time`, "
        "`process.uptime`,\n"
        "`process.unix.file_descriptor.count`, `cpython.gc.collections`, `cpython.gc.collected_objects` and\n"
        "`cpython.gc.uncollectable_objects`. With `OTEL_SEMCONV_STABILITY_OPT_IN=rpc` (or `rpc/dup`) in the "
        "environment\n"
        "calls are measured as `rpc.client.call.duration` (from the call to its outcome) and "
        "`rpc.server.call.duration`\n"
        "(in the tool) too, with `rpc.system.name`, `rpc.method`, `rpc.status_code` (`ok`, or the name of an errc) "
        "and\n"
        "`error.type`; to Prometheus these are `rpc_client_call_duration_seconds` and "
        "`rpc_server_call_duration_seconds`.\n";
    return table;
}

TEST_F(Metrics, AreThoseOfTheDocumentation) {
    fill();
    const std::string path = std::string(std::getenv("SNAKEPIT_TEST_SOURCES")) + "/../docs/metrics.md";
    const auto table = table_of(metrics_.collect());
    if (std::getenv("SNAKEPIT_UPDATE_DOCS")) std::ofstream(path) << table;
    std::ifstream file(path);
    const std::string written{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(written, table) << "run this test with SNAKEPIT_UPDATE_DOCS=1";
}

TEST_F(Metrics, HaveWordsAndANameThatFitsTheirType) {
    fill();
    std::set<std::string> names;
    for (const auto& f : metrics_.collect()) {
        EXPECT_TRUE(names.insert(f.name).second) << f.name;
        EXPECT_THAT(f.name, ::testing::StartsWith("snakepit_"));
        EXPECT_EQ(f.type == prometheus::MetricType::Counter, f.name.ends_with("_total")) << f.name;
        EXPECT_FALSE(f.help.empty()) << f.name;
    }
}

TEST(ListenAddress, IsAHostAndAPort) {
    const auto parsed = [](const char* text) {
        const auto a = parse_listen_address(text);
        return a ? fmt::format("{} {}", a->host, a->port) : std::string("no");
    };
    EXPECT_EQ(parsed("127.0.0.1:9464"), "127.0.0.1 9464");
    EXPECT_EQ(parsed("0.0.0.0:0"), "0.0.0.0 0");
    EXPECT_EQ(parsed("[::1]:65535"), "::1 65535");
    EXPECT_EQ(parsed("localhost:1"), "localhost 1");
    for (const char* wrong : {"",
                              ":9464",
                              "9464",
                              "127.0.0.1",
                              "127.0.0.1:",
                              "127.0.0.1:-1",
                              "127.0.0.1:65536",
                              "127.0.0.1:9464x",
                              "::1:9464",
                              "[::1]",
                              "[::1]9464",
                              "[]:1",
                              "[127.0.0.1]:1",
                              "127.0.0.256:1",
                              "1.2.3:1",
                              "a b:1",
                              "host:1,2",
                              "http://localhost:1",
                              "host:1 ",
                              "+8080"})
        EXPECT_EQ(parsed(wrong), "no") << wrong;
}

}  // namespace
}  // namespace snakepit::detail
