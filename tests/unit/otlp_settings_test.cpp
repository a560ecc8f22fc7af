// What options and environment say about the export of traces and metrics.

#include "telemetry/otlp/settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

using environment = std::map<std::string, std::string>;

result<otlp_settings> read(const environment& env, const telemetry_options& options = {}) {
    return otlp_settings_from(options, [&](const char* name) -> const char* {
        const auto found = env.find(name);
        return found == env.end() ? nullptr : found->second.c_str();
    });
}

std::string attribute_of(const otlp_settings& s, const std::string& key) {
    for (const auto& [k, v] : s.resource)
        if (k == key) return std::holds_alternative<std::string>(v) ? std::get<std::string>(v) : "(no text)";
    return "(none)";
}

TEST(OtlpSettings, ExportNothingWithoutAnEndpoint) {
    const auto s = read({});
    ASSERT_TRUE(s);
    EXPECT_FALSE(s->traces);
    EXPECT_FALSE(s->metrics);
}

TEST(OtlpSettings, TakeTheEndpointFromTheEnvironment) {
    const auto s = read({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317/"},
                         {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://[::1]:9"},
                         {"OTEL_EXPORTER_OTLP_HEADERS", "X-Key=a%20b, other=c"},
                         {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"}});
    ASSERT_TRUE(s);
    EXPECT_EQ(s->traces->address, "collector:4317");
    EXPECT_FALSE(s->traces->tls);
    EXPECT_EQ(s->traces->timeout, 250ms);
    EXPECT_EQ(s->traces->headers[0], (std::pair<std::string, std::string>("x-key", "a b")));
    EXPECT_EQ(s->traces->headers[1].second, "c");
    EXPECT_EQ(s->metrics->address, "[::1]:9");
    EXPECT_TRUE(s->metrics->tls);
}

TEST(OtlpSettings, PreferTheOption) {
    telemetry_options o;
    o.otlp_endpoint = "http://127.0.0.1:1";
    o.service_name = "shop";
    o.sample_ratio = 0.25;
    const auto s = read({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:2"},
                         {"OTEL_SERVICE_NAME", "other"},
                         {"OTEL_TRACES_SAMPLER", "always_off"}},
                        o);
    ASSERT_TRUE(s);
    EXPECT_EQ(s->traces->address, "127.0.0.1:1");
    EXPECT_EQ(attribute_of(*s, "service.name"), "shop");
    EXPECT_EQ(s->traced.ratio, 0.25);
    EXPECT_TRUE(s->traced.parent_based);
}

TEST(OtlpSettings, CanBeSwitchedOff) {
    const std::string endpoint = "http://h:1";
    EXPECT_FALSE(read({{"OTEL_EXPORTER_OTLP_ENDPOINT", endpoint}, {"OTEL_SDK_DISABLED", "TRUE"}})->traces);
    const auto no_traces = read({{"OTEL_EXPORTER_OTLP_ENDPOINT", endpoint}, {"OTEL_TRACES_EXPORTER", "none"}});
    EXPECT_FALSE(no_traces->traces);
    EXPECT_TRUE(no_traces->metrics);
}

TEST(OtlpSettings, KnowTheSamplers) {
    const auto with = [](const char* name, const char* argument) {
        return read({{"OTEL_TRACES_SAMPLER", name}, {"OTEL_TRACES_SAMPLER_ARG", argument}})->traced;
    };
    EXPECT_EQ(with("always_on", "").ratio, 1);
    EXPECT_FALSE(with("always_on", "").parent_based);
    EXPECT_EQ(with("always_off", "").ratio, 0);
    EXPECT_EQ(with("traceidratio", "0.5").ratio, 0.5);
    EXPECT_EQ(with("parentbased_traceidratio", "0.5").ratio, 0.5);
    EXPECT_TRUE(with("parentbased_traceidratio", "0.5").parent_based);
    EXPECT_EQ(with("parentbased_always_off", "").ratio, 0);
}

TEST(OtlpSettings, IgnoreWhatTheyDoNotUnderstandAndSaySo) {
    const environment all = {{"OTEL_TRACES_SAMPLER", "magic"},
                             {"OTEL_BSP_MAX_QUEUE_SIZE", "many"},
                             {"OTEL_RESOURCE_ATTRIBUTES", "a=1,nonsense,b=2%20x"},
                             {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:1"},
                             {"OTEL_TRACES_EXPORTER", "zipkin,otlp"},
                             {"OTEL_EXPORTER_OTLP_HEADERS", "nothing"}};
    const auto s = read(all);
    ASSERT_TRUE(s);
    EXPECT_EQ(s->max_queue, 8'192u);
    EXPECT_EQ(s->traced.ratio, 1);
    EXPECT_EQ(attribute_of(*s, "a"), "(none)") << "all of a list or nothing";
    EXPECT_TRUE(s->traces);
    EXPECT_EQ(s->warnings.size(), 5u) << "one each, also for what traces and metrics share";
}

TEST(OtlpSettings, SayWhatIsNotDoneHere) {
    const environment there = {{"OTEL_EXPORTER_OTLP_ENDPOINT", "h:1"}};
    for (const auto& [name, said] : environment{{"OTEL_BSP_EXPORT_TIMEOUT", "5000"},
                                                {"OTEL_METRIC_EXPORT_TIMEOUT", "5000"},
                                                {"OTEL_PROPAGATORS", "b3,baggage"},
                                                {"OTEL_SDK_DISABLED", "yes"},
                                                {"OTEL_EXPORTER_OTLP_INSECURE", "1"}}) {
        auto with = there;
        with[name] = said;
        const auto s = read(with);
        ASSERT_TRUE(s && s->traces) << name;
        ASSERT_EQ(s->warnings.size(), 1u) << name;
        EXPECT_THAT(s->warnings[0], HasSubstr(name));
        EXPECT_TRUE(read({{name, said}})->warnings.empty()) << "nothing is exported";
    }
    auto usual = there;
    usual["OTEL_PROPAGATORS"] = "tracecontext,baggage";
    usual["OTEL_SDK_DISABLED"] = "FALSE";
    EXPECT_TRUE(read(usual)->warnings.empty());
    usual["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://h:1";
    usual["OTEL_EXPORTER_OTLP_INSECURE"] = "1";
    EXPECT_TRUE(read(usual)->warnings.empty()) << "the scheme says it";
}

TEST(OtlpSettings, RefuseEndpointsThatCannotBe) {
    for (const char* bad :
         {"ftp://h:1", "http://", "http://h:0", "http://h:99999", "http://h:x", "http://h:1/v1/traces", "http://h :1",
          "http://u@h:1", "http://[::1", "http://::1:4317", "http://[]:1", "unix:"}) {
        telemetry_options o;
        o.otlp_endpoint = bad;
        const auto refused = read({}, o);
        ASSERT_FALSE(refused) << bad;
        EXPECT_EQ(refused.error(), errc::invalid_options) << bad;
        EXPECT_THAT(refused.error().message(), HasSubstr("telemetry.otlp_endpoint")) << bad;
        EXPECT_THAT(refused.error().message(), HasSubstr(bad));

        const auto ignored = read({{"OTEL_EXPORTER_OTLP_ENDPOINT", bad}});
        ASSERT_TRUE(ignored) << "the environment may be meant for others: " << bad;
        EXPECT_FALSE(ignored->traces) << bad;
        EXPECT_FALSE(ignored->metrics) << bad;
        ASSERT_EQ(ignored->warnings.size(), 2u) << bad;
        EXPECT_THAT(ignored->warnings[0], HasSubstr("OTEL_EXPORTER_OTLP_ENDPOINT"));
        EXPECT_THAT(ignored->warnings[0], HasSubstr("no traces are exported"));
    }
}

TEST(OtlpSettings, ExportNothingByAnotherProtocol) {
    const auto http = read({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:1"},
                            {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"},
                            {"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"}});
    ASSERT_TRUE(http);
    EXPECT_FALSE(http->traces);
    EXPECT_TRUE(http->metrics);
    ASSERT_EQ(http->warnings.size(), 1u);
    EXPECT_THAT(http->warnings[0], HasSubstr("OTEL_EXPORTER_OTLP_PROTOCOL"));
    EXPECT_THAT(http->warnings[0], HasSubstr("grpc"));
}

TEST(OtlpSettings, TakeNamesThatGrpcKnows) {
    for (const char* name : {"unix:/run/collector", "dns:///collector:4317", "ipv4:127.0.0.1:1"}) {
        const auto s = read({{"OTEL_EXPORTER_OTLP_ENDPOINT", name}, {"OTEL_EXPORTER_OTLP_INSECURE", "true"}});
        ASSERT_TRUE(s && s->traces) << name;
        EXPECT_EQ(s->traces->address, name);
        EXPECT_FALSE(s->traces->tls) << name;
    }
}

TEST(OtlpSettings, LeaveOutHeadersThatHttpCannotCarry) {
    for (const char* bad : {"api key=1", "a=caf%C3%A9", "a=abc%0A", "a=x%2", "a", "=b", "trace-bin=x", "\xc3\xa9=1",
                            "grpclb_client_stats=x", "GRPC-Timeout=1S", "grpc-encoding=", "te=trailers", "Host=h"}) {
        const auto s = read({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:1"},
                             {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", std::string(bad) + ",good=1"}});
        ASSERT_TRUE(s && s->traces) << bad;
        ASSERT_EQ(s->traces->headers.size(), 1u) << bad;
        EXPECT_EQ(s->traces->headers[0].first, "good") << bad;
        ASSERT_EQ(s->warnings.size(), 1u) << bad;
        EXPECT_EQ(s->warnings[0].find("abc"), std::string::npos) << "it may be a secret";
    }
}

TEST(OtlpSettings, DoNotReadADeviceForACertificate) {
    const auto s = read({{"OTEL_EXPORTER_OTLP_ENDPOINT", "https://h:1"},
                         {"OTEL_EXPORTER_OTLP_CERTIFICATE", "/dev/zero"},
                         {"OTEL_METRICS_EXPORTER", "none"}});
    ASSERT_TRUE(s);
    EXPECT_FALSE(s->traces);
    ASSERT_EQ(s->warnings.size(), 1u);
    EXPECT_THAT(s->warnings[0], HasSubstr("/dev/zero"));
}

TEST(OtlpSettings, KeepMetricsFromBeingExportedAllTheTime) {
    const auto with = [](const char* ms) {
        return read({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:1"}, {"OTEL_METRIC_EXPORT_INTERVAL", ms}});
    };
    EXPECT_EQ(with("100")->metrics_interval, 100ms);
    EXPECT_TRUE(with("100")->warnings.empty());
    EXPECT_EQ(with("99")->metrics_interval, with("")->metrics_interval);
    EXPECT_EQ(with("99")->warnings.size(), 1u);
}

TEST(OtlpSettings, KnowCompression) {
    const auto with = [](const char* name) {
        return read({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:1"}, {"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", name}});
    };
    EXPECT_TRUE(with("gzip")->traces->gzip);
    EXPECT_TRUE(with("GZip")->traces->gzip);
    EXPECT_FALSE(with("none")->traces->gzip);
    EXPECT_FALSE(with("zstd")->traces->gzip);
    EXPECT_EQ(with("zstd")->warnings.size(), 1u);
}

TEST(OtlpSettings, SayWhoExports) {
    const auto s = read({});
    EXPECT_THAT(attribute_of(*s, "service.name"), HasSubstr("unknown_service:"));
    EXPECT_EQ(attribute_of(*s, "telemetry.sdk.name"), "snakepit");
    EXPECT_EQ(attribute_of(*s, "service.instance.id").size(), 36u);
    EXPECT_THAT(s->resource,
                ::testing::Contains(std::pair<std::string, attribute>("process.pid", std::int64_t{::getpid()})));
}

TEST(OtlpSettings, CallsAreMeasuredByTheConventionsWhenThatIsAskedFor) {
    const auto wants = [](const char* list) { return wants_rpc_metrics([list](const char*) { return list; }); };
    EXPECT_FALSE(wants(nullptr));
    EXPECT_FALSE(wants(""));
    EXPECT_FALSE(wants("http,rpcs"));
    EXPECT_TRUE(wants("rpc"));
    EXPECT_TRUE(wants("http, rpc/dup"));
}

}  // namespace
}  // namespace snakepit::detail
