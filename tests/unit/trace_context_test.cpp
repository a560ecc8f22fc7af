#include "telemetry/trace_context.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace snakepit::detail {
namespace {

// The examples of https://www.w3.org/TR/trace-context/
const std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const std::string state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";

std::string changed(std::size_t at, char to) {
    auto header = good;
    header[at] = to;
    return header;
}

TEST(TraceContext, IsCarriedAsItCame) {
    const auto accepted = accept_trace(good, state);
    ASSERT_TRUE(accepted);
    EXPECT_EQ(accepted->traceparent(), good);
    EXPECT_EQ(accepted->tracestate, state);
    EXPECT_EQ(accept_trace(good, "")->tracestate, "");
}

TEST(TraceContext, OfALaterVersionMayHaveMore) {
    const auto later = "01" + good.substr(2);
    EXPECT_TRUE(is_traceparent(later));
    EXPECT_TRUE(is_traceparent(later + "-what-the-future-will-be-like"));
    EXPECT_FALSE(is_traceparent(later + "x"));
    EXPECT_FALSE(is_traceparent(later + "-" + std::string(100, 'x')));
    EXPECT_FALSE(is_traceparent("ff" + good.substr(2)));
}

TEST(TraceContext, ThatIsNotValidIsNone) {
    EXPECT_EQ(accept_trace("", state), nullptr);
    EXPECT_EQ(accept_trace(good.substr(0, 54), state), nullptr);
    EXPECT_EQ(accept_trace(good + "-more", state), nullptr);
    for (const std::size_t dash : {2u, 35u, 52u}) EXPECT_FALSE(is_traceparent(changed(dash, '_'))) << dash;
    for (const std::size_t digit : {0u, 3u, 34u, 36u, 51u, 53u, 54u})
        for (const char c : {'A', 'g', ' ', '\0', '\xff'})
            EXPECT_FALSE(is_traceparent(changed(digit, c))) << digit << " is " << static_cast<int>(c);
    EXPECT_FALSE(is_traceparent("00-00000000000000000000000000000000-00f067aa0ba902b7-01"));
    EXPECT_FALSE(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"));
}

TEST(TraceContext, StateThatCannotTravelIsLeftOut) {
    EXPECT_EQ(accept_trace(good, std::string(512, 'x'))->tracestate.size(), 512u);
    for (const auto& bad : {std::string(513, 'x'), std::string("a=\xff"), std::string("a=b\r\nx: y")}) {
        const auto accepted = accept_trace(good, bad);
        ASSERT_TRUE(accepted);
        EXPECT_EQ(accepted->tracestate, "");
        EXPECT_EQ(accepted->traceparent(), good);
    }
}

}  // namespace
}  // namespace snakepit::detail
