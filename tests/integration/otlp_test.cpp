// Traces that leave by OTLP, received with the official messages; and receivers that are of no use.

#include "support/pool_fixture.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace snakepit::test {
namespace {

using ::testing::HasSubstr;

const std::string trace_id = "0af7651916cd43dd8448eb211c80319c";
const std::string caller_id = "b7ad6b7169203331";

/// A process that receives; ends with this object.
class receiver {
public:
    receiver(const fs::path& directory, const std::string& manner) : directory_(directory) {
        const char* python = std::getenv("SNAKEPIT_OTLP_PYTHON");
        const char* sources = std::getenv("SNAKEPIT_TEST_SOURCES");
        const auto command = fmt::format("exec '{}' '{}/integration/py/otlp_receiver.py' '{}' {}", python, sources,
                                         directory.string(), manner);
        process_ = ::popen(command.c_str(), "we");
    }
    ~receiver() {
        if (process_) ::pclose(process_);
    }
    receiver(const receiver&) = delete;
    receiver& operator=(const receiver&) = delete;

    [[nodiscard]] std::string address() const {
        if (!eventually([&] { return fs::exists(directory_ / "port"); }, 20s * slow)) return {};
        return "http://127.0.0.1:" + file_text(directory_ / "port");
    }
    [[nodiscard]] std::vector<value> spans() const { return lines_of("spans"); }
    [[nodiscard]] std::string metrics() const { return file_text(directory_ / "metrics"); }
    /// Of all exports, in order.
    [[nodiscard]] std::vector<value> points() const { return lines_of("metrics"); }

private:
    [[nodiscard]] std::vector<value> lines_of(const char* name) const {
        std::vector<value> all;
        std::istringstream lines(file_text(directory_ / name));
        for (std::string line; std::getline(lines, line);) all.push_back(value::parse(line));
        return all;
    }

    const fs::path directory_;
    std::FILE* process_ = nullptr;
};

/// The package opentelemetry-proto is not in Debian: `./dev test` installs it from PyPI.
#define NEEDS_RECEIVER()                                                                                       \
    do {                                                                                                       \
        const char* python = std::getenv("SNAKEPIT_OTLP_PYTHON");                                              \
        if (python && fs::exists(python)) break;                                                               \
        if (std::getenv("CI")) FAIL() << "opentelemetry-proto is not installed";                               \
        GTEST_SKIP() << "opentelemetry-proto, from PyPI, is not installed: ./dev test does that where it can"; \
    } while (false)

class Otlp : public PoolTest {
protected:
    pool_options exporting(const std::string& address) {
        auto how = module_of(R"(
import snakepit

@snakepit.tool
def count(text):
    return [len(text.split()), snakepit.current_call().traceparent]

@snakepit.tool
def fail():
    raise ValueError("no luck")

@snakepit.tool
def nest():
    return snakepit.host.again()
)");
        how.workers = {1, 1};
        how.telemetry.otlp_endpoint = address;
        how.telemetry.service_name = "shop";
        how.telemetry.metrics_interval = 100ms;
        return how;
    }
    static const value& named(const std::vector<value>& spans, const std::string& name, int kind) {
        static const value none = value::object();
        for (const auto& s : spans)
            if (s["name"] == name && s["kind"] == kind) return s;
        ADD_FAILURE() << "no span " << name << " of kind " << kind;
        return none;
    }
    /// All calls succeed, and none waits for the receiver.
    void call_through(const pool_options& how) {
        std::uint64_t lost = 0;
        with_pool(how, [&](pool& p) -> awaitable<> {
            for (int i = 0; i < 200; ++i) {
                const auto begin = clock::now();
                EXPECT_OK(co_await p.execute("count", "a b"));
                EXPECT_LT(clock::now() - begin, 1s * slow);
            }
            (void)co_await p.stop();
            lost = p.stats().spans_dropped;
        });
        EXPECT_GE(lost, 200u) << "the receiver was not in trouble";
    }
};

TEST_F(Otlp, ACallIsOneTraceThroughBothLanguages) {
    NEEDS_RECEIVER();
    const receiver there(scratch().path(), "");
    std::string seen;
    with_pool(exporting(there.address()), [&](pool& p) -> awaitable<> {
        const auto options = call_options().traceparent("00-" + trace_id + "-" + caller_id + "-01");
        const value none = value::array();
        auto reply = co_await p.execute("count", "one two three", options);
        CO_ASSERT_OK(reply);
        EXPECT_EQ((*reply)[0], 3);
        seen = (*reply)[1].get<std::string>();
        EXPECT_TRUE(failed_with(co_await p.execute("fail", none, options), errc::tool_raised));
        CO_ASSERT(co_await comes_true([&] { return there.metrics().find("snakepit_calls_total") != std::string::npos; },
                                      10s * slow));
    });
    const auto spans = there.spans();
    const auto& call = named(spans, "count", 3);
    const auto& python = named(spans, "count", 2);
    EXPECT_EQ(call["parent_id"], caller_id);
    EXPECT_EQ(python["parent_id"], call["span_id"]);
    EXPECT_EQ(seen, "00-" + trace_id + "-" + python["span_id"].get<std::string>() + "-01");
    for (const auto& s : spans) EXPECT_EQ(s["trace_id"], trace_id);
    for (const char* part : {"queue", "dispatch", "wire"}) {
        const auto& s = named(spans, part, 1);
        EXPECT_GE(s["begin"], call["begin"]) << part;
        EXPECT_LE(s["end"], call["end"]) << part;
    }
    EXPECT_EQ(call["resource"]["service.name"], "shop");
    EXPECT_EQ(call["attributes"]["rpc.method"], "count");
    EXPECT_EQ(python["resource"]["service.name"], "shop");
    EXPECT_EQ(python["resource"]["snakepit.worker"], "w0");
    EXPECT_NE(python["resource"]["process.pid"], call["resource"]["process.pid"]);
    EXPECT_EQ(python["attributes"]["thread.id"], python["resource"]["process.pid"]);  // its main thread
    EXPECT_FALSE(python["resource"].contains("process.executable.name"));             // the host's
    EXPECT_EQ(named(spans, "fail", 2)["attributes"]["error.type"], "ValueError");
    EXPECT_TRUE(named(spans, "fail", 3)["failed"].get<bool>());
    EXPECT_TRUE(named(spans, "fail", 2)["failed"].get<bool>());
}

TEST_F(Otlp, MetricsAreThereByTheNamesOfTheConventionsToo) {
    NEEDS_RECEIVER();
    const receiver there(scratch().path(), "");
    auto how = exporting(there.address());
    how.heartbeat.interval = 100ms;
    ::setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "rpc", 1);
    with_pool(how, [&](pool& p) -> awaitable<> {
        EXPECT_OK(co_await p.execute("count", "a b"));
        EXPECT_TRUE(failed_with(co_await p.execute("fail", value::array()), errc::tool_raised));
        // Points of the worker's collector come with its first heartbeat.
        CO_ASSERT(co_await comes_true(
            [&] {
                const auto said = there.metrics();
                return said.find("cpython.gc.collections") != said.npos && said.find("tool_raised") != said.npos;
            },
            20s * slow));
    });
    ::unsetenv("OTEL_SEMCONV_STABILITY_OPT_IN");
    const auto all = there.points();
    const auto last = [&](const std::string& name, const value& attributes) -> value {
        for (auto at = all.rbegin(); at != all.rend(); ++at)
            if ((*at)["name"] == name && (*at)["attributes"] == attributes) return *at;
        ADD_FAILURE() << "no " << name << " of " << attributes;
        return value::object();
    };
    const value worker{{"snakepit.worker", "w0"}};
    const auto memory = last("process.memory.usage", worker);
    EXPECT_EQ(memory["kind"], "sum");
    EXPECT_EQ(memory["monotonic"], false);
    EXPECT_EQ(memory["unit"], "By");
    EXPECT_GT(memory["value"].get<double>(), 1e6);
    EXPECT_EQ(memory["resource"]["snakepit.worker"], "w0");
    EXPECT_EQ(memory["resource"]["service.name"], "shop");
    EXPECT_FALSE(memory["resource"].contains("process.pid")) << "the host's";
    const auto submitted = last("snakepit_calls_submitted_total", {{"group", ""}});
    EXPECT_FALSE(submitted["resource"].contains("snakepit.worker"));
    EXPECT_TRUE(submitted["resource"].contains("process.pid"));
    const auto cpu = last("process.cpu.time", worker);
    EXPECT_EQ(cpu["monotonic"], true);
    EXPECT_EQ(cpu["unit"], "s");
    EXPECT_GT(cpu["begin"], submitted["begin"]);  // the worker's start
    EXPECT_LT(cpu["begin"], cpu["time"]);
    EXPECT_EQ(last("process.uptime", worker)["kind"], "gauge");
    EXPECT_GT(last("process.unix.file_descriptor.count", worker)["value"].get<double>(), 3);
    for (const char* generation : {"0", "1", "2"})
        EXPECT_EQ(last("cpython.gc.collections",
                       {{"snakepit.worker", "w0"}, {"cpython.gc.generation", generation}})["monotonic"],
                  true);
    value call{{"rpc.system.name", "snakepit"}, {"rpc.method", "count"}, {"rpc.status_code", "ok"}};
    for (const char* name : {"rpc.client.call.duration", "rpc.server.call.duration"}) {
        const auto point = last(name, call);
        EXPECT_EQ(point["kind"], "histogram");
        EXPECT_EQ(point["unit"], "s");
        EXPECT_EQ(point["value"], 1);
    }
    call = {{"rpc.system.name", "snakepit"},
            {"rpc.method", "fail"},
            {"rpc.status_code", "tool_raised"},
            {"error.type", "tool_raised"}};
    EXPECT_EQ(last("rpc.client.call.duration", call)["value"], 1);
    EXPECT_EQ(last("snakepit_worker_resident_memory_bytes", {{"worker", "w0"}, {"group", ""}})["kind"], "gauge");
}

TEST_F(Otlp, TheSpansOfTheLastCallsAreThereWhenThePoolHasStopped) {
    NEEDS_RECEIVER();
    const receiver there(scratch().path(), "");
    with_pool(exporting(there.address()),
              [](pool& p) -> awaitable<> { CO_ASSERT_OK(co_await p.execute("count", "a")); });
    const auto spans = there.spans();
    EXPECT_EQ(named(spans, "count", 2)["parent_id"], named(spans, "count", 3)["span_id"]);
}

TEST_F(Otlp, WhatAToolCallsBackForIsPartOfItsTrace) {
    NEEDS_RECEIVER();
    const receiver there(scratch().path(), "");
    auto how = exporting(there.address());
    how.workers = {2, 2};
    with_pool(how, [](pool& p) -> awaitable<> {
        const auto again = [&p]() -> awaitable<value> {
            auto reply = co_await p.execute("count", "a b");
            if (!reply) co_return value(reply.error().full());
            co_return std::move(*reply);
        };
        const auto offered = p.host_tools().add("again", again);
        const auto options = call_options().traceparent("00-" + trace_id + "-" + caller_id + "-01");
        CO_ASSERT_OK(co_await p.execute("nest", value::array(), options));
    });
    const auto spans = there.spans();
    for (const auto& s : spans) EXPECT_EQ(s["trace_id"], trace_id);
    EXPECT_EQ(named(spans, "nest", 3)["parent_id"], caller_id);
    EXPECT_EQ(named(spans, "count", 3)["parent_id"], named(spans, "nest", 3)["span_id"]);
}

TEST_F(Otlp, WhatIsNotSampledIsNotExported) {
    NEEDS_RECEIVER();
    const receiver there(scratch().path(), "");
    with_pool(exporting(there.address()), [](pool& p) -> awaitable<> {
        const auto options = call_options().traceparent("00-" + trace_id + "-" + caller_id + "-00");
        CO_ASSERT_OK(co_await p.execute("count", "a", options));
        CO_ASSERT_OK(co_await p.execute("count", "a"));
    });
    EXPECT_FALSE(there.spans().empty());
    for (const auto& s : there.spans()) EXPECT_NE(s["trace_id"], trace_id);
}

TEST_F(Otlp, WithoutAReceiverAnEventStillTellsWhichTraceTheCallIsOf) {
    with_pool(options(), [](pool& p) -> awaitable<> {
        std::optional<happened::call_ended> heard;
        const auto on = p.events().subscribe(event_filter::only<happened::call_ended>(), [&heard](const event& e) {
            heard = std::get<happened::call_ended>(e.what);
        });
        const auto how = call_options().traceparent("00-" + trace_id + "-" + caller_id + "-01");
        CO_ASSERT_OK(co_await p.execute("echo", "a", how));
        CO_ASSERT(heard);
        EXPECT_EQ(to_string(heard->trace_id), trace_id);
        EXPECT_EQ(to_string(heard->parent_span_id), caller_id);
        EXPECT_FALSE(heard->span_id);
        EXPECT_FALSE(heard->sampled) << "nothing is recorded";
        heard.reset();
        CO_ASSERT_OK(co_await p.execute("echo", "a"));
        CO_ASSERT(heard);
        EXPECT_FALSE(heard->trace_id);
        EXPECT_EQ(to_string(heard->trace_id), "");
    });
}

TEST_F(Otlp, ADeadReceiverSlowsNoCall) { call_through(exporting("http://127.0.0.1:1")); }

TEST_F(Otlp, ASlowReceiverSlowsNoCall) {
    NEEDS_RECEIVER();
    const receiver there(scratch().path(), "slow");
    call_through(exporting(there.address()));
}

TEST_F(Otlp, AFlappingReceiverSlowsNoCallAndGetsItInTheEnd) {
    NEEDS_RECEIVER();
    const receiver there(scratch().path(), "flapping");
    with_pool(exporting(there.address()), [](pool& p) -> awaitable<> {
        for (int i = 0; i < 1'000; ++i) CO_ASSERT_OK(co_await p.execute("count", "a b"));  // more than one batch
        CO_ASSERT(co_await comes_true([&] { return p.stats().spans_exported > 0; }, 20s * slow));
    });
    EXPECT_FALSE(there.spans().empty());
}

TEST_F(Otlp, AnEndpointThatCannotBeFailsTheStart) {
    run([this]() -> awaitable<> {
        pool p(io->get_executor(), exporting("ftp://nowhere"));
        EXPECT_TRUE(failed_saying(co_await p.start(), errc::invalid_options, "telemetry.otlp_endpoint", "http://"));
    });
}

}  // namespace
}  // namespace snakepit::test
