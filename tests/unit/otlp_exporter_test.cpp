// Spans on their way to receivers that take them, are dead, slow, or of two minds.

#include "snakepit/otlp/otlp.pb.h"
#include "telemetry/otlp/exporter.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// Answers exports as it is told, by gRPC, in this process.
class receiver {
public:
    struct answer {
        grpc::StatusCode code = grpc::StatusCode::OK;
        std::int64_t rejected = 0;
        bool never = false;        ///< until the caller gives up
        std::string details = {};  ///< with a failure
    };

    receiver() {
        grpc::ServerBuilder builder;
        builder.RegisterCallbackGenericService(&service_);
        builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
        server_ = builder.BuildAndStart();
    }
    ~receiver() {
        server_->Shutdown(std::chrono::system_clock::now());
        server_->Wait();
    }

    [[nodiscard]] std::string address() const { return fmt::format("127.0.0.1:{}", port_); }
    /// The next ones, in order; all others are taken.
    void will(std::deque<answer> next) {
        const std::lock_guard lock(mutex_);
        next_ = std::move(next);
    }
    /// Waits for so many exports. @return  what came, method by method
    std::vector<std::pair<std::string, std::string>> wait_for(std::size_t exports) {
        std::unique_lock lock(mutex_);
        EXPECT_TRUE(changed_.wait_for(lock, 20s, [&] { return came_.size() >= exports; }));
        return came_;
    }

private:
    class export_call final : public grpc::ServerGenericBidiReactor {
    public:
        export_call(receiver& at, std::string method) : at_(at), method_(std::move(method)) { StartRead(&in_); }

    private:
        void OnReadDone(bool ok) override {
            if (!ok) return end(grpc::Status::OK);
            grpc::Slice whole;
            (void)in_.DumpToSingleSlice(&whole);
            const auto how = at_.take(method_, {reinterpret_cast<const char*>(whole.begin()), whole.size()});
            if (how.never) return;
            if (how.code != grpc::StatusCode::OK) return end({how.code, "as it was told", how.details});
            otlp::ExportTraceServiceResponse response;
            if (how.rejected != 0) {
                response.mutable_partial_success()->set_rejected_spans(how.rejected);
                response.mutable_partial_success()->set_error_message("too old");
            }
            const auto bytes = response.SerializeAsString();
            const grpc::Slice slice(bytes);
            out_ = grpc::ByteBuffer(&slice, 1);
            if (!ended_.exchange(true)) StartWriteAndFinish(&out_, grpc::WriteOptions(), grpc::Status::OK);
        }
        void OnCancel() override { end(grpc::Status::CANCELLED); }
        void OnDone() override { delete this; }
        /// A caller that gives up may do so while it is answered.
        void end(const grpc::Status& how) {
            if (!ended_.exchange(true)) Finish(how);
        }

        receiver& at_;
        const std::string method_;
        std::atomic<bool> ended_ = false;
        grpc::ByteBuffer in_;
        grpc::ByteBuffer out_;
    };
    class service final : public grpc::CallbackGenericService {
    public:
        explicit service(receiver& at) : at_(at) {}

    private:
        grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
            return new export_call(at_, context->method());
        }
        receiver& at_;
    };

    answer take(const std::string& method, std::string request) {
        const std::lock_guard lock(mutex_);
        came_.emplace_back(method, std::move(request));
        changed_.notify_all();
        if (next_.empty()) return {};
        const auto first = next_.front();
        next_.pop_front();
        return first;
    }

    service service_{*this};
    int port_ = 0;
    std::unique_ptr<grpc::Server> server_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<answer> next_;
    std::vector<std::pair<std::string, std::string>> came_;
};

otlp_settings to(const std::string& address) {
    otlp_settings s;
    s.traces.emplace();
    s.traces->address = address;
    s.traces->timeout = 2s;
    s.max_queue = 100;
    s.max_batch = 10;
    s.schedule_delay = 10ms;
    s.resource = {{"service.name", "shop"}, {"process.pid", std::int64_t{1}}};
    return s;
}

span named(const std::string& name) {
    span s;
    s.trace_id = id_from<trace_id>("0af7651916cd43dd8448eb211c80319c");
    s.id = id_from<span_id>("b7ad6b7169203331");
    s.name = name;
    s.begin = std::chrono::system_clock::time_point(1s);
    s.end = s.begin + 5ms;
    return s;
}

class OtlpExporter : public ::testing::Test {
protected:
    std::unique_ptr<otlp_exporter> make(otlp_settings how) {
        return std::make_unique<otlp_exporter>(std::move(how), nullptr,
                                               [this](std::uint64_t spans, const std::string& why) {
                                                   const std::lock_guard lock(mutex_);
                                                   lost_ += spans;
                                                   whys_.push_back(why);
                                                   changed_.notify_all();
                                               });
    }
    void wait_for_losses(std::uint64_t spans) {
        std::unique_lock lock(mutex_);
        EXPECT_TRUE(changed_.wait_for(lock, 20s, [&] { return lost_ >= spans; }));
    }
    /// @return  what was exported of all that came
    static std::vector<std::string> names_in(const std::vector<std::pair<std::string, std::string>>& came) {
        std::vector<std::string> names;
        for (const auto& [method, bytes] : came) {
            otlp::ExportTraceServiceRequest request;
            EXPECT_TRUE(request.ParseFromString(bytes));
            for (const auto& r : request.resource_spans())
                for (const auto& s : r.scope_spans(0).spans()) names.push_back(s.name());
        }
        return names;
    }
    template <class Holds>
    static bool comes_true(Holds holds) {
        const auto until = std::chrono::steady_clock::now() + 20s;
        while (!holds() && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(2ms);
        return holds();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::uint64_t lost_ = 0;
    std::vector<std::string> whys_;
};

TEST_F(OtlpExporter, SendsSpansAsTheProtocolHasThem) {
    receiver there;
    const auto exports = make(to(there.address()));
    auto s = named("count");
    s.parent_id = id_from<span_id>("00f067aa0ba902b7");
    s.what = span::kind::client;
    const std::string long_text(20'000, 'x');
    s.attributes = {{"text", long_text}, {"number", std::int64_t{-3}}, {"ratio", 0.5},
                    {"yes", true},       {"nothing", std::string()},   {"no UTF-8", std::string("\xff")}};
    s.tracestate = "vendor=1";
    s.links = {{s.trace_id, id_from<span_id>("b9c7c989f97918e1"), "vendor=2"}};
    s.outcome = span::status::error;
    s.message = "no luck";
    exports->take(s);
    const auto came = there.wait_for(1);
    EXPECT_EQ(came[0].first, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    otlp::ExportTraceServiceRequest request;
    ASSERT_TRUE(request.ParseFromString(came[0].second));
    const auto& of = request.resource_spans(0);
    EXPECT_EQ(of.resource().attributes(0).value().string_value(), "shop");
    const auto& got = of.scope_spans(0).spans(0);
    EXPECT_EQ(got.trace_id().size(), 16u);
    EXPECT_EQ(static_cast<unsigned char>(got.trace_id()[0]), 0x0a);
    EXPECT_EQ(got.span_id().size(), 8u);
    EXPECT_EQ(got.parent_span_id().size(), 8u);
    EXPECT_EQ(got.kind(), 3);
    EXPECT_EQ(got.start_time_unix_nano(), 1'000'000'000u);
    EXPECT_EQ(got.end_time_unix_nano(), 1'005'000'000u);
    EXPECT_EQ(got.name(), "count");
    EXPECT_EQ(got.flags(), 1u);
    ASSERT_EQ(got.attributes_size(), 6);
    EXPECT_EQ(got.attributes(0).key(), "text");
    EXPECT_EQ(got.attributes(0).value().string_value(), long_text);
    EXPECT_EQ(got.attributes(1).value().int_value(), -3);
    EXPECT_EQ(got.attributes(2).value().double_value(), 0.5);
    EXPECT_TRUE(got.attributes(3).value().bool_value());
    EXPECT_EQ(got.attributes(4).value().value_case(), otlp::AnyValue::kStringValue);
    EXPECT_EQ(got.attributes(5).value().string_value(), "\xef\xbf\xbd");
    ASSERT_EQ(got.links_size(), 1);
    EXPECT_EQ(got.trace_state(), "vendor=1");
    EXPECT_EQ(got.links(0).trace_state(), "vendor=2");
    EXPECT_EQ(got.links(0).trace_id(), got.trace_id());
    EXPECT_EQ(static_cast<unsigned char>(got.links(0).span_id()[0]), 0xb9);
    EXPECT_EQ(request.SerializeAsString(), came[0].second);  // as protobuf itself writes it
    EXPECT_EQ(got.status().code(), 2);
    EXPECT_EQ(got.status().message(), "no luck");
    EXPECT_TRUE(comes_true([&] { return exports->exported() == 1; }));
    EXPECT_EQ(exports->dropped(), 0u);
}

TEST_F(OtlpExporter, PutsSpansOfAWorkerUnderAResourceOfItsOwn) {
    receiver there;
    auto how = to(there.address());
    how.max_batch = 2;
    how.schedule_delay = 1h;
    const auto exports = make(how);
    auto of_worker = named("python");
    of_worker.process = std::make_shared<const resource_attributes>(
        resource_attributes{{"snakepit.worker", "w0"}, {"process.pid", std::int64_t{7}}});
    exports->take(named("host"));
    exports->take(of_worker);
    otlp::ExportTraceServiceRequest request;
    ASSERT_TRUE(request.ParseFromString(there.wait_for(1)[0].second));
    ASSERT_EQ(request.resource_spans_size(), 2);
    const auto& worker = request.resource_spans(1).resource();
    std::set<std::string> keys;
    for (const auto& a : worker.attributes()) EXPECT_TRUE(keys.insert(a.key()).second) << a.key();
    EXPECT_THAT(keys, ::testing::ElementsAre("process.pid", "service.name", "snakepit.worker"));
}

TEST_F(OtlpExporter, TriesAgainWhatMaySucceedLater) {
    receiver there;
    there.will({{grpc::StatusCode::UNAVAILABLE}});
    const auto exports = make(to(there.address()));
    exports->take(named("a"));
    EXPECT_THAT(names_in(there.wait_for(2)), ::testing::ElementsAre("a", "a"));
    EXPECT_TRUE(comes_true([&] { return exports->exported() == 1; }));
    EXPECT_EQ(exports->dropped(), 0u);
}

TEST_F(OtlpExporter, LeavesAReceiverAloneForAsLongAsItWants) {
    otlp::RetryInfo wish;
    wish.mutable_retry_delay()->set_seconds(1);
    wish.mutable_retry_delay()->set_nanos(500'000'000);
    otlp::RpcStatus status;
    auto& detail = *status.add_details();
    detail.set_type_url("type.googleapis.com/google.rpc.RetryInfo");
    detail.set_value(wish.SerializeAsString());
    receiver there;
    there.will({{grpc::StatusCode::RESOURCE_EXHAUSTED, 0, false, status.SerializeAsString()}});
    const auto exports = make(to(there.address()));
    exports->take(named("a"));
    (void)there.wait_for(1);
    const auto begin = std::chrono::steady_clock::now();
    (void)there.wait_for(2);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 1'400ms);
    EXPECT_TRUE(comes_true([&] { return exports->exported() == 1; }));
}

TEST_F(OtlpExporter, DropsWhatIsTooLarge) {
    receiver there;
    there.will({{grpc::StatusCode::RESOURCE_EXHAUSTED}});
    const auto exports = make(to(there.address()));
    exports->take(named("large"));
    wait_for_losses(1);
    EXPECT_EQ(exports->dropped(), 1u);
}

TEST_F(OtlpExporter, SendsNoMoreAtOnceThanAReceiverTakes) {
    receiver there;
    auto how = to(there.address());
    how.schedule_delay = 1h;
    how.max_batch = 100;
    const auto exports = make(how);
    auto large = named("x");
    large.attributes.emplace_back("text", std::string(50'000, 'x'));
    for (int i = 0; i < 100; ++i) exports->take(large);
    (void)there.wait_for(1);  // of its own accord: there is more than one export takes
    exports->begin_stop(20s);
    EXPECT_TRUE(comes_true([&] { return exports->exported() == 100; }));
    for (const auto& [method, bytes] : there.wait_for(2)) EXPECT_LT(bytes.size(), 4u << 20);
}

TEST_F(OtlpExporter, SendsWhatHasGatheredMeanwhileInBatches) {
    receiver there;
    there.will({{grpc::StatusCode::UNAVAILABLE}});
    auto how = to(there.address());
    how.schedule_delay = 1h;
    const auto exports = make(how);
    for (int i = 0; i < 10; ++i) exports->take(named("a"));
    (void)there.wait_for(1);  // which is tried again in half a second or more
    for (int i = 0; i < 25; ++i) exports->take(named("b"));
    (void)there.wait_for(4);
    exports->begin_stop(20s);
    std::vector<std::size_t> sizes;
    for (const auto& one : there.wait_for(5)) sizes.push_back(names_in({one}).size());
    EXPECT_THAT(sizes, ::testing::ElementsAre(10, 10, 10, 10, 5));
    EXPECT_TRUE(comes_true([&] { return exports->exported() == 35; }));
}

TEST_F(OtlpExporter, SendsMetricsWhileSpansCannotBe) {
    receiver there;
    auto how = to("127.0.0.1:1");
    how.metrics = to(there.address()).traces;
    how.metrics_interval = 100ms;
    otlp_exporter exports(
        how, [] { return std::vector<prometheus::MetricFamily>(); }, [](std::uint64_t, const std::string&) {});
    for (int i = 0; i < 1'000; ++i) exports.take(named("x"));
    (void)there.wait_for(5);
    EXPECT_EQ(exports.exported(), 0u);
}

TEST_F(OtlpExporter, TellsOnceOfMetricsThatAreRefused) {
    receiver there;
    there.will({{grpc::StatusCode::UNAUTHENTICATED}, {grpc::StatusCode::UNAUTHENTICATED}});
    auto how = to(there.address());
    how.metrics = how.traces;
    how.traces.reset();
    how.metrics_interval = 20ms;
    std::mutex mutex;
    std::vector<std::string> whys;
    {
        otlp_exporter exports(
            how, [] { return std::vector<prometheus::MetricFamily>(); },
            [&](std::uint64_t spans, const std::string& why) {
                EXPECT_EQ(spans, 0u);
                const std::lock_guard lock(mutex);
                whys.push_back(why);
            });
        (void)there.wait_for(4);
    }
    ASSERT_EQ(whys.size(), 1u);
    EXPECT_THAT(whys[0], HasSubstr("metrics"));
    EXPECT_THAT(whys[0], HasSubstr("as it was told"));
}

TEST_F(OtlpExporter, CountsWhatOthersHaveLost) {
    receiver there;
    const auto exports = make(to(there.address()));
    exports->lost(0, "nothing");
    exports->lost(3, "a worker");
    wait_for_losses(3);
    EXPECT_EQ(exports->dropped(), 3u);
    EXPECT_THAT(whys_[0], HasSubstr("a worker"));
}

TEST_F(OtlpExporter, DropsWhatIsRefusedForGoodAndGoesOn) {
    receiver there;
    there.will({{grpc::StatusCode::INVALID_ARGUMENT}});
    const auto exports = make(to(there.address()));
    exports->take(named("bad"));
    wait_for_losses(1);
    exports->take(named("good"));
    EXPECT_TRUE(comes_true([&] { return exports->exported() == 1; }));
    EXPECT_EQ(exports->dropped(), 1u);
    EXPECT_THAT(whys_[0], HasSubstr("as it was told"));
}

TEST_F(OtlpExporter, CountsWhatAReceiverRejectsOfABatch) {
    receiver there;
    there.will({{grpc::StatusCode::OK, 3}});
    auto how = to(there.address());
    how.schedule_delay = 1h;
    const auto exports = make(how);
    for (int i = 0; i < 10; ++i) exports->take(named("x"));
    wait_for_losses(3);
    EXPECT_EQ(exports->exported(), 7u);
    EXPECT_EQ(exports->dropped(), 3u);
    EXPECT_THAT(whys_[0], HasSubstr("too old"));
}

TEST_F(OtlpExporter, NeverWaitsForAReceiverThatIsDeadAndDropsTheNewest) {
    auto how = to("127.0.0.1:1");
    how.max_queue = 10;
    const auto exports = make(how);
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 10'000; ++i) exports->take(named("x"));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
    EXPECT_GE(exports->dropped(), 10'000u - 30u);
    wait_for_losses(1);
    const auto stop_begin = std::chrono::steady_clock::now();
    exports->begin_stop(10s);
    EXPECT_TRUE(comes_true([&] { return exports->has_ended(); }));
    EXPECT_LT(std::chrono::steady_clock::now() - stop_begin, 5s) << "it has failed last: it is not waited for";
    exports->stop();
    EXPECT_EQ(exports->exported() + exports->dropped(), 10'000u);
}

TEST_F(OtlpExporter, EndsAtOnceWhileAReceiverDoesNotAnswer) {
    receiver there;
    there.will({{grpc::StatusCode::OK, 0, true}});
    auto how = to(there.address());
    how.traces->timeout = 1h;
    const auto exports = make(how);
    exports->take(named("x"));
    (void)there.wait_for(1);
    const auto begin = std::chrono::steady_clock::now();
    exports->stop();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
    EXPECT_EQ(exports->dropped(), 1u);
}

TEST_F(OtlpExporter, SendsWhatIsLeftWhenItIsToStop) {
    receiver there;
    auto how = to(there.address());
    how.schedule_delay = 1h;
    how.max_batch = 4;
    const auto exports = make(how);
    for (int i = 0; i < 3; ++i) exports->take(named("x"));
    exports->begin_stop(10s);
    EXPECT_TRUE(comes_true([&] { return exports->has_ended(); }));
    exports->stop();
    EXPECT_EQ(exports->exported(), 3u);
    exports->take(named("late"));
    EXPECT_EQ(exports->dropped(), 1u);
}

TEST_F(OtlpExporter, SendsMetricsNowAndThen) {
    receiver there;
    auto how = to(there.address());
    how.metrics = how.traces;
    how.traces.reset();
    how.metrics_interval = 20ms;
    prometheus::MetricFamily calls{"snakepit_calls_total", "Calls.", prometheus::MetricType::Counter, {}};
    calls.metric.resize(1);
    calls.metric[0].label = {{"tool", "count"}};
    calls.metric[0].counter.value = 0;
    prometheus::MetricFamily took{"snakepit_call_duration_seconds", "Time.", prometheus::MetricType::Histogram, {}};
    took.metric.resize(1);
    took.metric[0].histogram.sample_count = 5;
    took.metric[0].histogram.sample_sum = 2.5;
    took.metric[0].histogram.bucket = {{2, 0.1}, {4, 1.0}, {5, std::numeric_limits<double>::infinity()}};
    otlp_exporter exports(how, [&] { return std::vector{calls, took}; }, [](std::uint64_t, const std::string&) {});
    const auto came = there.wait_for(2);
    EXPECT_EQ(came[0].first, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
    otlp::ExportMetricsServiceRequest request;
    ASSERT_TRUE(request.ParseFromString(came[0].second));
    const auto& metrics = request.resource_metrics(0).scope_metrics(0).metrics();
    ASSERT_EQ(metrics.size(), 2);
    EXPECT_TRUE(metrics[0].sum().is_monotonic());
    EXPECT_TRUE(metrics[0].sum().data_points(0).has_as_double()) << "0 is a value too";
    const auto& points = metrics[1].histogram().data_points(0);
    EXPECT_EQ(metrics[1].unit(), "s");
    EXPECT_THAT(points.bucket_counts(), ::testing::ElementsAre(2, 2, 1));
    EXPECT_THAT(points.explicit_bounds(), ::testing::ElementsAre(0.1, 1.0));
    EXPECT_EQ(points.count(), 5u);
}

}  // namespace
}  // namespace snakepit::detail
