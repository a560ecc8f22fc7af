// Which spans calls become, and which trace they belong to.

#include "telemetry/tracer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::MatchesRegex;

const std::string trace_id = "0af7651916cd43dd8448eb211c80319c";
const std::string parent_id = "b7ad6b7169203331";

class kept_spans final : public span_sink {
public:
    void lost(std::uint64_t, const std::string&) override {}
    void take(const span& s) override { all.push_back(s); }
    std::vector<span> all;
};

class Tracer : public ::testing::Test {
protected:
    static std::shared_ptr<call> call_of(const std::string& traceparent, const std::string& tracestate = "") {
        auto c = std::make_shared<call>();
        c->tool = "count";
        if (!traceparent.empty()) c->trace = accept_trace(traceparent, tracestate);
        return c;
    }
    happened::call_ended ended(const call& c) const {
        happened::call_ended e;
        e.tool = c.tool;
        e.worker = "w0";
        e.outcome = "ok";
        e.submitted = std::chrono::steady_clock::now() - 10ms;
        e.queued = 2ms;
        e.dispatched = 1ms;
        e.wire = 4ms;
        e.running = 3ms;
        e.ended = e.submitted + 10ms;
        e.attempts = {{"w0", e.submitted + 3ms, e.ended, "ok", e.submitted, e.submitted + 2ms}};
        e.trace_id = c.trace->ids.trace_id;
        e.span_id = c.trace->ids.id;
        e.parent_span_id = c.trace->ids.parent_id;
        e.sampled = c.trace->is_recorded();
        e.tracestate = c.trace->tracestate;
        return e;
    }
    const span& named(const std::string& name) const {
        for (const auto& s : spans_->all)
            if (s.name == name) return s;
        throw std::out_of_range(name);
    }

    event_bus bus_;
    const std::shared_ptr<const redactor> redactor_ = std::make_shared<const redactor>(log_options().redact);
    std::shared_ptr<kept_spans> spans_ = std::make_shared<kept_spans>();
};

TEST_F(Tracer, GoesOnWithTheTraceOfTheCaller) {
    const tracer t({}, bus_, redactor_, spans_);
    const auto c = call_of("00-" + trace_id + "-" + parent_id + "-01", "vendor=1");
    t.begin(*c);
    const auto& ids = c->trace->ids;
    EXPECT_EQ(to_string(ids.trace_id), trace_id);
    EXPECT_EQ(to_string(ids.parent_id), parent_id);
    EXPECT_TRUE(ids.sampled);
    EXPECT_EQ(c->trace->traceparent(), "00-" + trace_id + "-" + to_string(ids.id) + "-01");
    EXPECT_EQ(c->trace->tracestate, "vendor=1");
}

TEST_F(Tracer, BeginsATraceForACallThatNamesNone) {
    const tracer t({}, bus_, redactor_, spans_);
    const auto a = call_of("");
    const auto b = call_of("");
    t.begin(*a);
    t.begin(*b);
    EXPECT_THAT(a->trace->traceparent(), MatchesRegex("00-[0-9a-f]{32}-[0-9a-f]{16}-01"));
    EXPECT_NE(a->trace->ids.trace_id, b->trace->ids.trace_id);
    EXPECT_FALSE(a->trace->ids.parent_id);
}

TEST_F(Tracer, HeedsTheFlagOfTheCallerAndItsOwnRatioOtherwise) {
    const tracer never({0.0, true}, bus_, redactor_, spans_);
    const auto flagged = call_of("00-" + trace_id + "-" + parent_id + "-01");
    const auto unflagged = call_of("00-" + trace_id + "-" + parent_id + "-00");
    const auto own = call_of("");
    never.begin(*flagged);
    never.begin(*unflagged);
    never.begin(*own);
    EXPECT_TRUE(flagged->trace->is_recorded());
    EXPECT_FALSE(unflagged->trace->is_recorded());
    EXPECT_FALSE(own->trace->is_recorded());
    EXPECT_EQ(own->trace->traceparent().substr(53), "00");

    const tracer always({1.0, false}, bus_, redactor_, spans_);
    const auto overruled = call_of("00-" + trace_id + "-" + parent_id + "-00");
    always.begin(*overruled);
    EXPECT_TRUE(overruled->trace->is_recorded());
}

/// As others do it: by the last 63 bits of the trace's id.
TEST_F(Tracer, SamplesByTheEndOfTheTracesId) {
    const tracer t({0.5, false}, bus_, redactor_, spans_);
    const auto is_sampled = [&](const std::string& low) {
        const auto c = call_of("00-0af7651916cd43dd" + low + "-" + parent_id + "-00");
        t.begin(*c);
        return c->trace->is_recorded();
    };
    EXPECT_TRUE(is_sampled("0000000000000001"));
    EXPECT_TRUE(is_sampled("7ffffffffffff000"));
    EXPECT_FALSE(is_sampled("80000000000000ff"));
    EXPECT_FALSE(is_sampled("ffffffffffffffff"));
}

TEST_F(Tracer, SamplesAboutAsManyAsItIsTold) {
    const tracer t({0.1, true}, bus_, redactor_, spans_);
    int sampled = 0;
    for (int i = 0; i < 10'000; ++i) {
        const auto c = call_of("");
        t.begin(*c);
        sampled += c->trace->is_recorded() ? 1 : 0;
    }
    EXPECT_GT(sampled, 800);  // 1,000 with a deviation of 30
    EXPECT_LT(sampled, 1'200);
}

TEST_F(Tracer, MakesASpanOfTheCallAndOneOfEachThingThatItWaitedFor) {
    const tracer t({}, bus_, redactor_, spans_);
    const auto c = call_of("00-" + trace_id + "-" + parent_id + "-01");
    t.begin(*c);
    bus_.publish([&] { return ended(*c); });
    const auto& whole = named("count");
    EXPECT_EQ(to_string(whole.trace_id), trace_id);
    EXPECT_EQ(to_string(whole.parent_id), parent_id);
    EXPECT_EQ(whole.id, c->trace->ids.id);
    EXPECT_EQ(whole.what, span::kind::client);
    EXPECT_EQ(whole.outcome, span::status::unset);
    EXPECT_EQ(whole.end - whole.begin, 10ms);
    for (const char* part : {"queue", "dispatch", "wire"}) {
        EXPECT_EQ(named(part).parent_id, whole.id) << part;
        EXPECT_EQ(named(part).trace_id, whole.trace_id) << part;
        EXPECT_GE(named(part).begin, whole.begin) << part;
        EXPECT_LE(named(part).end, whole.end) << part;
    }
    EXPECT_EQ(named("queue").end - named("queue").begin, 2ms);
    EXPECT_EQ(named("dispatch").end - named("dispatch").begin, 1ms);
    EXPECT_EQ(named("wire").end - named("wire").begin, 7ms);
    EXPECT_TRUE(whole.links.empty());
}

TEST_F(Tracer, LinksACallToEachOfItsAttempts) {
    const tracer t({}, bus_, redactor_, spans_);
    const auto c = call_of("");
    t.begin(*c);
    auto e = ended(*c);
    e.attempts.insert(e.attempts.begin(),
                      {"w1", e.submitted + 1ms, e.submitted + 2ms, "worker_lost", e.submitted, e.submitted + 1ms});
    e.attempts[1].queued = e.submitted + 2ms;
    e.attempts[1].placed = e.submitted + 3ms;
    bus_.publish([&] { return e; });
    const auto& whole = named("count");
    ASSERT_EQ(whole.links.size(), 2U);
    std::vector<std::string> workers;
    for (const auto& s : spans_->all)
        if (s.name == "wire") {
            EXPECT_EQ(s.id, whole.links[workers.size()].span_id);
            workers.push_back(std::get<std::string>(s.attributes.front().second));
        }
    EXPECT_THAT(workers, ElementsAre("w1", "w0"));
    const auto& second = *(spans_->all.end() - 2);  // before the whole
    EXPECT_EQ(second.name, "wire");
    EXPECT_EQ(second.outcome, span::status::unset);
    EXPECT_EQ(second.attributes.size(), 2U);  // nothing of the attempt that failed
    std::vector<std::pair<std::string, std::chrono::milliseconds>> parts;
    for (const auto& s : spans_->all)
        parts.emplace_back(s.name, std::chrono::round<std::chrono::milliseconds>(s.end - s.begin));
    parts.pop_back();  // the whole
    const auto p = [](const char* name, std::chrono::milliseconds took) { return std::pair(std::string(name), took); };
    EXPECT_THAT(parts, ElementsAre(p("queue", 1ms), p("dispatch", 0ms), p("wire", 1ms), p("queue", 1ms),
                                   p("dispatch", 0ms), p("wire", 7ms)));
}

TEST_F(Tracer, LinksASecondAttemptToTheFirst) {
    const tracer t({}, bus_, redactor_, spans_);
    const auto c = call_of("");
    t.begin(*c);
    auto e = ended(*c);
    e.hedge = true;
    e.parent_span_id = {{1, 2, 3, 4, 5, 6, 7, 8}};
    bus_.publish([&] { return e; });
    const auto& links = named("count").links;
    ASSERT_EQ(links.size(), 1u);
    EXPECT_EQ(links[0].trace_id, e.trace_id);
    EXPECT_EQ(links[0].span_id, e.parent_span_id);
}

TEST_F(Tracer, SaysWhyACallFailed) {
    const tracer t({}, bus_, redactor_, spans_);
    const auto c = call_of("");
    t.begin(*c);
    auto e = ended(*c);
    e.outcome = "queue_full";
    e.why = error(errc::queue_full, "too many for password=hunter22");
    e.attempts.clear();
    bus_.publish([&] { return e; });
    const auto& whole = named("count");
    EXPECT_EQ(whole.outcome, span::status::error);
    EXPECT_EQ(whole.message, "too many for password=[redacted]");
    EXPECT_EQ(spans_->all.size(), 2U);  // and the queue; it was sent nowhere
}

TEST_F(Tracer, HasNoNameForAToolThatThereIsNot) {
    const tracer t({}, bus_, redactor_, spans_);
    const auto c = call_of("");
    t.begin(*c);
    auto e = ended(*c);
    e.tool = "made up, token=abc";
    e.outcome = "unknown_tool";
    e.attempts.clear();
    bus_.publish([&] { return e; });
    EXPECT_THAT(named("_OTHER").attributes, testing::Contains(testing::Pair("rpc.method", attribute("_OTHER"))));
}

TEST_F(Tracer, RecordsNothingOfWhatIsNotSampled) {
    const tracer t({0.0, true}, bus_, redactor_, spans_);
    const auto c = call_of("");
    t.begin(*c);
    bus_.publish([&] { return ended(*c); });
    EXPECT_TRUE(spans_->all.empty());
}

}  // namespace
}  // namespace snakepit::detail
