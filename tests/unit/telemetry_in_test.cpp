// What a worker may say of its spans and logs, and what is made of it.

#include "wire/telemetry_in.hpp"
#include "snakepit/v1/control.pb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

namespace snakepit::detail {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Pair;

/// Two spans: one of a tool that has failed, and one more at the same place.
v1::Telemetry two_spans() {
    v1::Telemetry t;
    auto& s = *t.mutable_spans();
    for (const std::uint64_t id : {0x1020304050607080u, 0x8070605040302010u}) {
        s.add_traceparents("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        s.add_ids(id);
        s.add_places(0);
        s.add_begun(2.5);
        s.add_took(0.25);
    }
    s.set_clock_began_ns(1'000);
    auto& place = *s.add_where();
    place.set_tool("buy");
    place.set_function("shop.buy");
    place.set_thread_id(17);
    place.set_thread_name("MainThread");
    auto& failure = *s.add_failures();
    failure.set_span(1);
    failure.set_message("KeyError: 'apple'");
    return t;
}

template <class Change>
bool is_refused(Change change) {
    auto t = two_spans();
    change(*t.mutable_spans());
    return !checked(t);
}

TEST(TelemetryIn, MakesSpansOfColumns) {
    auto t = two_spans();
    t.set_dropped_spans(3);
    const auto heard = checked(t);
    ASSERT_TRUE(heard);
    ASSERT_EQ(heard->spans.size(), 2u);
    EXPECT_EQ(heard->dropped_spans, 3u);
    const auto& well = heard->spans[0];
    EXPECT_EQ(to_string(well.trace_id), "0af7651916cd43dd8448eb211c80319c");
    EXPECT_EQ(to_string(well.parent_id), "b7ad6b7169203331");
    EXPECT_EQ(to_string(well.id), "1020304050607080");
    EXPECT_EQ(well.tracestate, "");
    EXPECT_EQ(well.name, "buy");
    EXPECT_EQ(well.begin.time_since_epoch(), std::chrono::nanoseconds(2'500'001'000));
    EXPECT_EQ(well.end - well.begin, std::chrono::milliseconds(250));
    EXPECT_THAT(well.attributes, Contains(Pair("code.function", attribute(std::string("shop.buy")))));
    EXPECT_THAT(well.attributes, Contains(Pair("thread.id", attribute(std::int64_t{17}))));
    EXPECT_EQ(well.outcome, span::status::unset);
    const auto& failed = heard->spans[1];
    EXPECT_EQ(to_string(failed.id), "8070605040302010");
    EXPECT_EQ(failed.outcome, span::status::error);
    EXPECT_EQ(failed.message, "KeyError: 'apple'");
    EXPECT_THAT(failed.attributes, Contains(Pair("error.type", attribute(std::string("KeyError")))));
}

TEST(TelemetryIn, TakesStatesOfTracesForAllSpansOrForNone) {
    auto t = two_spans();
    t.mutable_spans()->add_tracestates("vendor=1");
    t.mutable_spans()->add_tracestates("");
    const auto heard = checked(t);
    ASSERT_TRUE(heard);
    EXPECT_EQ(heard->spans[0].tracestate, "vendor=1");
    EXPECT_EQ(heard->spans[1].tracestate, "");
    EXPECT_TRUE(is_refused([](auto& s) { s.add_tracestates("vendor=1"); }));
}

TEST(TelemetryIn, RefusesColumnsOfDifferentLengths) {
    EXPECT_FALSE(is_refused([](auto&) {}));
    EXPECT_TRUE(is_refused([](auto& s) { s.add_traceparents(s.traceparents(0)); }));
    EXPECT_TRUE(is_refused([](auto& s) { s.add_ids(1); }));
    EXPECT_TRUE(is_refused([](auto& s) { s.add_places(0); }));
    EXPECT_TRUE(is_refused([](auto& s) { s.add_begun(1); }));
    EXPECT_TRUE(is_refused([](auto& s) { s.mutable_took()->RemoveLast(); }));
    EXPECT_TRUE(is_refused([](auto& s) { s.mutable_traceparents()->Clear(); }));
}

TEST(TelemetryIn, RefusesMoreThanTheProtocolAllows) {
    const auto times = [](int n) {
        return [n](auto& s) {
            for (int i = s.ids_size(); i < n; ++i) {
                s.add_traceparents(s.traceparents(0));
                s.add_ids(1);
                s.add_places(0);
                s.add_begun(1);
                s.add_took(1);
            }
        };
    };
    EXPECT_FALSE(is_refused(times(512)));
    EXPECT_TRUE(is_refused(times(513)));
    EXPECT_TRUE(is_refused([](auto& s) {  // more places than spans
        s.add_where();
        s.add_where();
    }));
    EXPECT_TRUE(is_refused([](auto& s) {  // more failures
        s.add_failures()->set_span(0);
        s.add_failures()->set_span(0);
    }));
}

TEST(TelemetryIn, AFailureNeedsNoText) {
    auto t = two_spans();
    t.mutable_spans()->mutable_failures(0)->clear_message();
    const auto heard = checked(t);
    ASSERT_TRUE(heard);
    EXPECT_THAT(heard->spans[1].attributes, Contains(Pair("error.type", attribute(std::string("_OTHER")))));
}

TEST(TelemetryIn, AFailuresTypeIsAName) {
    const auto type_of = [](const std::string& message) {
        auto t = two_spans();
        t.mutable_spans()->mutable_failures(0)->set_message(message);
        const auto heard = checked(t);
        for (const auto& [key, value] : heard->spans[1].attributes)
            if (key == "error.type") return std::get<std::string>(value);
        return std::string("none");
    };
    EXPECT_EQ(type_of("KeyError: 'x'"), "KeyError");
    EXPECT_EQ(type_of("shop.cart.make.<locals>.Empty"), "shop.cart.make.<locals>.Empty");
    EXPECT_EQ(type_of("token=abc: no"), "_OTHER");
    EXPECT_EQ(type_of("cancelled while the tool ran"), "_OTHER");
    EXPECT_EQ(type_of(std::string(200, 'x') + ": y"), "_OTHER");
}

TEST(TelemetryIn, RefusesWhatRefersToNothing) {
    EXPECT_TRUE(is_refused([](auto& s) { s.set_places(1, 1); }));
    EXPECT_TRUE(is_refused([](auto& s) { s.set_places(1, ~0u); }));
    EXPECT_TRUE(is_refused([](auto& s) { s.clear_where(); }));
    EXPECT_TRUE(is_refused([](auto& s) { s.mutable_failures(0)->set_span(2); }));
    EXPECT_TRUE(is_refused([](auto& s) { *s.add_failures() = s.failures(0); }));  // it has failed once
}

TEST(TelemetryIn, RefusesIdsThatAreNoneAndHeadersThatAreNot) {
    EXPECT_TRUE(is_refused([](auto& s) { s.set_ids(0, 0); }));
    EXPECT_TRUE(is_refused([](auto& s) { s.set_traceparents(0, ""); }));
    EXPECT_TRUE(is_refused([](auto& s) { s.set_traceparents(0, std::string(55, '0')); }));
}

TEST(TelemetryIn, RefusesTextsThatAreTooLong) {
    EXPECT_TRUE(is_refused([](auto& s) { s.mutable_where(0)->set_tool(std::string(201, 'x')); }));
    EXPECT_TRUE(is_refused([](auto& s) { s.mutable_where(0)->set_function(std::string(257, 'x')); }));
    EXPECT_TRUE(is_refused([](auto& s) { s.mutable_where(0)->set_thread_name(std::string(129, 'x')); }));
    EXPECT_TRUE(is_refused([](auto& s) { s.mutable_failures(0)->set_message(std::string(1'025, 'x')); }));
    EXPECT_TRUE(is_refused([](auto& s) {
        s.add_tracestates(std::string(513, 'x'));
        s.add_tracestates("");
    }));
}

TEST(TelemetryIn, RefusesTimesThatAreNone) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    constexpr double infinity = std::numeric_limits<double>::infinity();
    for (const double bad : {-1.0, 1e18, infinity, -infinity, nan}) {
        EXPECT_TRUE(is_refused([bad](auto& s) { s.set_begun(0, bad); })) << bad;
        EXPECT_TRUE(is_refused([bad](auto& s) { s.set_took(0, bad); })) << bad;
    }
}

TEST(TelemetryIn, ClocksMayBeWrong) {
    auto t = two_spans();
    t.mutable_spans()->set_clock_began_ns(~std::uint64_t{0});
    t.mutable_spans()->set_took(0, 1e9);
    const auto heard = checked(t);
    ASSERT_TRUE(heard);
    EXPECT_GE(heard->spans[0].end, heard->spans[0].begin);
}

TEST(TelemetryIn, MakesRecordsOfLogs) {
    v1::Telemetry t;
    auto& log = *t.add_logs();
    log.set_level(30);
    log.set_logger("shop.cart");
    log.set_message("hm");
    log.set_call(7);
    log.set_trace_id("0af7651916cd43dd8448eb211c80319c");
    auto& field = *log.add_fields();
    field.set_key("user");
    field.set_value("me");
    auto again = t;
    const auto heard = checked(t);
    ASSERT_TRUE(heard);
    ASSERT_EQ(heard->logs.size(), 1u);
    EXPECT_EQ(heard->logs[0].logger, "shop.cart");
    EXPECT_EQ(heard->logs[0].call, 7u);
    EXPECT_THAT(heard->logs[0].fields, ElementsAre(Pair("user", "me")));
    again.mutable_logs(0)->set_trace_id("0af7");
    EXPECT_FALSE(checked(again));
}

}  // namespace
}  // namespace snakepit::detail
