// More calls than can be served, tools that end their workers, and calls that are made a second time.

#include "support/pool_fixture.hpp"

#include <gmock/gmock.h>
#include <asio/bind_cancellation_slot.hpp>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace snakepit::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Overload : public PoolTest {
protected:
    [[nodiscard]] std::string here(const std::string& file = {}) const { return (scratch().path() / file).string(); }
};

std::uint64_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t total = 0;
    std::uint64_t resident = 0;
    statm >> total >> resident;
    return resident * 4096;
}

TEST_F(Overload, ABurstOfAHundredThousandIsRefusedBeyondTheQueueWithAHint) {
    with_pool(options("hasty"), [](pool& p) -> awaitable<> {
        for (int i = 0; i < 100; ++i) CO_ASSERT_OK(co_await p.execute("echo", i));
        constexpr int burst = 100'000;
        int served = 0;
        int refused = 0;
        int without_hint = 0;
        const auto before = resident_bytes();
        for (int i = 0; i < burst; ++i)
            async_execute(p, "echo", i, call_options(), [&](const result<value>& r) {
                if (r) return void(++served);
                ++refused;
                EXPECT_TRUE(failed_with(r, errc::queue_full));
                without_hint += r.error().retry_after() < 1ms ? 1 : 0;
            });
        CO_ASSERT(co_await comes_true([&] { return served + refused == burst; }, 60s * slow));
        EXPECT_EQ(without_hint, 0);
        EXPECT_GE(served, 10'000) << "those for which the queue has room";
        EXPECT_EQ(p.stats().refused, static_cast<std::uint64_t>(refused));
        if (slow == 1) {
            EXPECT_LT(resident_bytes() - before, std::uint64_t{400} << 20);
        }
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Overload, WhatComesBackAfterTheHintIsLetIn) {
    auto how = options("hasty");
    how.queue_limit = 100;
    with_pool(how, [](pool& p) -> awaitable<> {
        for (int i = 0; i < 100; ++i) CO_ASSERT_OK(co_await p.execute("echo", i));
        int ended = 0;
        std::chrono::milliseconds hint{};
        for (int i = 0; i < 1'000; ++i)
            async_execute(p, "echo", i, call_options(), [&](const result<value>& r) {
                ++ended;
                if (!r) hint = r.error().retry_after();
            });
        CO_ASSERT(co_await comes_true([&] { return hint.count() > 0; }));
        result<value> let_in = tl::unexpected(error(errc::queue_full, ""));
        for (int i = 0; i < 100 && !let_in; ++i) {
            co_await wait_for(hint);
            let_in = co_await p.execute("echo", 1);
            if (!let_in) hint = let_in.error().retry_after();
        }
        EXPECT_OK(let_in);
        CO_ASSERT(co_await comes_true([&] { return ended == 1'000; }));
    });
}

TEST_F(Overload, FreshCallsGoBeforeLateOnes) {
    auto how = options("hasty");
    how.workers = {.min = 1};
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto log = here("log");
        const auto gate = here("gate");
        int open = 0;
        const auto begin = [&](const char* text, std::chrono::milliseconds timeout) {
            ++open;
            async_execute(p, "note", list(log, text), call_options().timeout(timeout),
                          [&](const result<value>&) { --open; });
        };
        ++open;
        async_execute(p, "wait_for", list(gate), call_options(), [&](const result<value>&) { --open; });
        CO_ASSERT(co_await comes_true([&] { return p.workers()[0].running == "wait_for"; }));
        const auto began = clock::now();
        const auto timeout = 4s * slow;
        for (const char* text : {"a", "b", "c"}) begin(text, timeout);
        CO_ASSERT(co_await comes_true([&] { return clock::now() - began > timeout * 5 / 8; }, timeout));
        begin("fresh", 60s);
        std::ofstream(gate).put('x');
        CO_ASSERT(co_await comes_true([&] { return open == 0; }));
        EXPECT_EQ(file_text(log).substr(0, 6), "fresh\n");
    });
}

TEST_F(Overload, AToolThatCrashesIsTakenOutOfServiceAndComesBack) {
    auto how = options("hasty");
    how.restart_limit.per_tool = 3;
    how.restart_backoff.longest = 300ms;
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto good = here("good");
        for (int i = 0; i < 3; ++i)
            EXPECT_TRUE(failed_with(co_await p.execute("crash", list(good)), errc::worker_lost));
        const auto refused = co_await p.execute("crash", list(good));
        CO_ASSERT(failed_saying(refused, errc::tool_degraded, "last 3 workers"));
        EXPECT_GE(refused.error().retry_after(), 1ms);
        EXPECT_LE(refused.error().retry_after(), 300ms);
        EXPECT_THAT(p.stats().degraded, HasSubstr("tool crash"));
        for (int i = 0; i < 100; ++i) EXPECT_EQ((co_await p.execute("echo", i)), i) << "others are served";
        std::ofstream(good).put('x');
        result<value> back = refused;
        for (int i = 0; i < 500 && !back; ++i) {
            EXPECT_TRUE(failed_with(back, errc::tool_degraded));
            co_await wait_for(10ms);
            back = co_await p.execute("crash", list(good));
        }
        CO_ASSERT_OK(back);
        EXPECT_EQ(p.stats().degraded, "");
        EXPECT_OK(co_await p.execute("crash", list(good)));
    });
}

TEST_F(Overload, TheFirstReplyOfTwoAttemptsCountsAndTheOtherOneIsCancelled) {
    with_pool(options("hasty"), [this](pool& p) -> awaitable<> {
        const auto hurried = call_options().hedge_after(20ms);
        const auto reply = co_await p.execute_reply("slow_once", list(here()), hurried);
        CO_ASSERT_OK(reply);
        CO_ASSERT(co_await comes_true([&] { return !file_text(here("cancelled")).empty(); }));
        EXPECT_NE(file_text(here("cancelled")), reply->result.dump()) << "it was another worker's";
        CO_ASSERT(co_await comes_true([&] { return p.stats().cancelled == 1; }));
        const auto s = p.stats();
        EXPECT_EQ(s.hedged, 1u);
        EXPECT_EQ(s.succeeded, 1u);
        EXPECT_EQ(s.submitted, 2u);
        for (const auto& w : s.workers) {
            EXPECT_EQ(w.incarnation, 1u);
            if (w.pid == reply->result) {
                EXPECT_EQ(w.id, reply->worker);
            }
        }
        for (int i = 0; i < 100; ++i)  // these are fast enough
            CO_ASSERT_OK(co_await p.execute("slow_once", list(here()), call_options().hedge_after(10s * slow)));
        EXPECT_EQ(p.stats().hedged, 1u);
    });
}

TEST_F(Overload, AnErrorOfTheToolIsAReplyAndADeathIsNot) {
    with_pool(options("hasty"), [this](pool& p) -> awaitable<> {
        const auto hurried = call_options().hedge_after(20ms);
        const auto raised = co_await p.execute("raises_once_asked_twice", list(here()), hurried);
        EXPECT_TRUE(failed_saying(raised, errc::tool_raised, "the second one"));
        CO_ASSERT(co_await comes_true(
            [&] { return p.stats().workers[0].outstanding + p.stats().workers[1].outstanding == 0; }));
        const auto once = call_options().hedge_after(20ms).idempotent();
        EXPECT_OK(co_await p.execute("dies_when_second", list(here()), once));
        EXPECT_EQ(p.stats().hedged, 2u);
    });
}

TEST_F(Overload, ACallThatMayNotBeRunTwiceIsNotHedged) {
    with_pool(options("hasty"), [](pool& p) -> awaitable<> {
        const auto hurried = call_options().hedge_after(1ms);
        EXPECT_TRUE(failed_saying(co_await p.execute("echo", 1, hurried), errc::bad_arguments, "idempotent=True"));
        EXPECT_EQ((co_await p.execute("echo", 1, call_options().hedge_after(1s).idempotent())), 1);
        EXPECT_EQ((co_await p.execute("echo", 1, call_options().hedge_after(0ms))), 1);
        const auto never = call_options().hedge_after(1ms).idempotent(false);
        EXPECT_TRUE(failed_with(co_await p.execute("slow_once", list("/nonexistent"), never), errc::bad_arguments));
    });
}

TEST_F(Overload, CancellingAHedgedCallCancelsBothAttempts) {
    auto how = options("hasty");
    with_pool(how, [this](pool& p) -> awaitable<> {
        asio::cancellation_signal cancel;
        std::optional<result<value>> outcome;
        const auto gate = here("never");
        async_execute(p, "wait_for", list(gate), call_options().hedge_after(1ms).idempotent(),
                      asio::bind_cancellation_slot(cancel.slot(), [&](result<value> r) { outcome = std::move(r); }));
        CO_ASSERT(co_await comes_true([&] { return p.stats().in_flight == 2; }));
        cancel.emit(asio::cancellation_type::terminal);
        CO_ASSERT(co_await comes_true([&] { return outcome.has_value(); }));
        EXPECT_TRUE(failed_with(*outcome, errc::cancelled));
        EXPECT_EQ(p.stats().cancelled, 2u);
        CO_ASSERT(co_await comes_true(
            [&] { return p.stats().workers[0].outstanding + p.stats().workers[1].outstanding == 0; }));
        EXPECT_EQ((co_await p.execute("echo", 1)), 1);
    });
}

}  // namespace
}  // namespace snakepit::test
