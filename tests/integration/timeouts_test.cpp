// Deadlines: in the queue, on the wire, in Python; and the places that they must not free too early.

#include "support/pool_fixture.hpp"

#include <asio/detached.hpp>

namespace snakepit::test {
namespace {

class Timeouts : public LaneTest {
protected:
    [[nodiscard]] pool_options one_at_a_time() const {
        auto o = options();
        o.workers.min = 1;
        o.calls_per_worker = 1;
        return o;
    }
    [[nodiscard]] bool logged(const std::string& line) const {
        return ("\n" + file_text(scratch().path() / "log")).find("\n" + line + "\n") != std::string::npos;
    }
    void let_go(const std::string& name) const { scratch().write(name + ".go", ""); }
    static std::shared_ptr<std::optional<result<value>>> begin(pool& p, std::string tool, value arguments,
                                                               call_options how = call_options()) {
        auto end = std::make_shared<std::optional<result<value>>>();
        async_execute(p, std::move(tool), std::move(arguments), std::move(how),
                      [end](result<value> r) { *end = std::move(r); });
        return end;
    }
};
INSTANTIATE_LANES(Timeouts);

TEST_P(Timeouts, NoneMeansNone) {
    with_pool(one_at_a_time(), [](pool& p) -> awaitable<> {
        EXPECT_EQ(co_await p.execute("remaining", args(), call_options().timeout(call_options::no_timeout)), value());
        EXPECT_EQ(co_await p.execute("remaining", args(), call_options().timeout(0s)), value());
        EXPECT_EQ((co_await p.call<int>(call_options().timeout(0s), "add", 1)), 11);
    });
}

TEST_P(Timeouts, TheDefaultIsThirtySeconds) {
    with_pool(one_at_a_time(), [](pool& p) -> awaitable<> {
        const auto left = co_await p.call<double>("remaining");
        CO_ASSERT_OK(left);
        EXPECT_GT(*left, 20);
        EXPECT_LE(*left, 30);
    });
}

TEST_P(Timeouts, RemainingIsWhatIsLeftAfterTheQueue) {
    with_pool(one_at_a_time(), [this](pool& p) -> awaitable<> {
        const auto held = begin(p, "hold", "first");
        CO_ASSERT(co_await comes_true([&] { return logged("begin first"); }));
        const auto waits = begin(p, "remaining", value::array(), call_options().timeout(20s));
        co_await wait_for(300ms);
        EXPECT_EQ(p.stats().waits.count, 0u);
        EXPECT_GE(p.stats().waits.waiting, 300ms);
        let_go("first");
        CO_ASSERT(co_await comes_true([&] { return waits->has_value(); }));
        CO_ASSERT_OK(**waits);
        const auto left = (***waits).get<double>();
        const auto waited = p.stats().waits;
        EXPECT_EQ(waited.count, 1u) << "the first found a free place";
        EXPECT_GE(waited.longest, 300ms);
        EXPECT_EQ(waited.total, waited.longest);
        EXPECT_EQ(waited.waiting, 0ms);
        EXPECT_LT(left, 19.75);
        EXPECT_GT(left, 20 - 5.0 * slow);
    });
}

TEST_P(Timeouts, NegativeFailsAtOnceAndIsNotSent) {
    with_pool(one_at_a_time(), [this](pool& p) -> awaitable<> {
        EXPECT_TRUE(failed_with(co_await p.execute("append", list("ran", "x"), call_options().timeout(-1s)),
                                errc::deadline_exceeded));
        EXPECT_TRUE(failed_with(co_await p.execute("append", list("ran", "x"), call_options().timeout(-1ns)),
                                errc::deadline_exceeded));
        EXPECT_TRUE(
            failed_with(co_await p.execute("append", list("ran", "x"), call_options().timeout(clock::duration::min())),
                        errc::deadline_exceeded));
        EXPECT_EQ((co_await p.call<int>("add", 1)), 11);
        EXPECT_EQ(line_count(scratch().path() / "ran"), 0u);
    });
}

TEST_P(Timeouts, VeryLongOnesDoNotOverflow) {
    with_pool(one_at_a_time(), [](pool& p) -> awaitable<> {
        EXPECT_EQ(co_await p.execute("echo", 1, call_options().timeout(clock::duration::max())), 1);
        EXPECT_EQ(co_await p.execute("echo", 1, call_options().timeout(std::chrono::hours(24 * 365 * 200))), 1);
        EXPECT_EQ(co_await p.execute("echo", 1, call_options().timeout(std::chrono::hours(24 * 60))), 1);
    });
}

TEST_P(Timeouts, InTheQueue) {
    with_pool(one_at_a_time(), [this](pool& p) -> awaitable<> {
        const auto held = begin(p, "hold", "first");
        CO_ASSERT(co_await comes_true([&] { return logged("begin first"); }));
        const auto before = clock::now();
        EXPECT_TRUE(failed_with(co_await p.execute("append", list("ran", "x"), call_options().timeout(50ms)),
                                errc::deadline_exceeded));
        const auto took = clock::now() - before;
        EXPECT_GE(took, 50ms);
        EXPECT_LT(took, 500ms * slow);
        EXPECT_EQ(p.stats().expired, 1u);
        EXPECT_EQ(p.stats().queued, 0u);
        let_go("first");
        CO_ASSERT(co_await comes_true([&] { return held->has_value(); }));
        EXPECT_EQ((co_await p.call<int>("add", 1)), 11);
        EXPECT_EQ(line_count(scratch().path() / "ran"), 0u) << "never run";
        EXPECT_EQ(p.stats().late_replies, 0u);
    });
}

TEST_P(Timeouts, InPythonThePlaceIsHeldUntilItHasEnded) {
    with_pool(one_at_a_time(), [this](pool& p) -> awaitable<> {
        const auto before = clock::now();
        const auto expired = co_await p.execute("hold", "first", call_options().timeout(150ms * slow));
        EXPECT_TRUE(failed_with(expired, errc::deadline_exceeded));
        EXPECT_LT(clock::now() - before, 1s * slow);
        EXPECT_EQ(expired.error().code(), failure::caller_gave_up);
        CO_ASSERT(logged("begin first"));
        const auto next = begin(p, "append", list("log", "next ran"));
        co_await wait_for(100ms);
        EXPECT_FALSE(next->has_value());
        EXPECT_EQ(p.stats().queued, 1u);
        let_go("first");
        CO_ASSERT(co_await comes_true([&] { return next->has_value(); }));
        EXPECT_OK(**next);
        EXPECT_EQ(file_text(scratch().path() / "log"), "begin first\nend first\nnext ran\n");
        EXPECT_EQ(p.stats().late_replies, 1u);
        EXPECT_EQ(p.stats().expired, 1u);
        EXPECT_EQ(p.stats().workers[0].incarnation, 1u);
    });
}

TEST_P(Timeouts, AnExpiredCallThatWasSentIsNotBegun) {
    auto how = one_at_a_time();
    how.calls_per_worker = 4;
    with_pool(how, [this](pool& p) -> awaitable<> {
        let_go("warm");
        for (int i = 0; i < 10; ++i) {  // as far as anybody knows both are fast
            CO_ASSERT_OK(co_await p.execute("hold", "warm"));
            CO_ASSERT_OK(co_await p.execute("append", list("warm", "x")));
        }
        const auto held = begin(p, "hold", "first");
        CO_ASSERT(co_await comes_true([&] { return logged("begin first"); }));
        EXPECT_TRUE(failed_with(co_await p.execute("append", list("ran", "x"), call_options().timeout(50ms)),
                                errc::deadline_exceeded));
        let_go("first");
        CO_ASSERT(co_await comes_true([&] { return held->has_value(); }));
        EXPECT_TRUE(co_await comes_true([&] { return p.stats().workers[0].outstanding == 0; }));
        EXPECT_EQ(line_count(scratch().path() / "ran"), 0u);
    });
}

TEST_P(Timeouts, OneMillisecondEndsEachCallOnceOneWayOrTheOther) {
    with_pool(options(), [](pool& p) -> awaitable<> {
        int ended = 0;
        int expired = 0;
        for (int i = 0; i < 500; ++i) {
            async_execute(p, "echo", i, call_options().timeout(std::chrono::microseconds(200 + i * 5)),
                          [&, i](const result<value>& r) {
                              ++ended;
                              if (r) EXPECT_EQ(*r, i);
                              else EXPECT_TRUE(failed_with(r, errc::deadline_exceeded));
                              expired += !r;
                          });
            if (i % 5 == 0) co_await wait_for(1ms);
        }
        CO_ASSERT(co_await comes_true([&] { return ended == 500; }));
        CO_ASSERT(co_await comes_true(
            [&] { return p.stats().workers[0].outstanding + p.stats().workers[1].outstanding == 0; }));
        const auto s = p.stats();
        // Those that were over before they were let in are counted nowhere.
        EXPECT_EQ(s.submitted, s.succeeded + s.expired);
        EXPECT_LE(s.expired, static_cast<std::uint64_t>(expired));
        EXPECT_EQ(s.succeeded, static_cast<std::uint64_t>(500 - expired));
        EXPECT_EQ((co_await p.call<int>("add", 1)), 11);
    });
}

TEST_P(Timeouts, RacingWithRepliesOfThatVeryLength) {
    with_pool(options(), [](pool& p) -> awaitable<> {
        int ended = 0;
        for (int i = 0; i < 200; ++i)
            async_execute(p, "sleep", 0.004, call_options().timeout(std::chrono::microseconds(3000 + i * 4000)),
                          [&](const result<value>& r) {
                              ++ended;
                              if (!r) {
                                  EXPECT_TRUE(failed_with(r, errc::deadline_exceeded));
                              }
                          });
        CO_ASSERT(co_await comes_true([&] { return ended == 200; }, 20s * slow));
        CO_ASSERT(co_await comes_true(
            [&] { return p.stats().workers[0].outstanding + p.stats().workers[1].outstanding == 0; }));
        const auto s = p.stats();
        EXPECT_EQ(s.submitted, s.succeeded + s.expired);
    });
}

TEST_P(Timeouts, QueueFullSaysSoAtOnce) {
    for (const std::size_t limit : {std::size_t{0}, std::size_t{3}}) {
        SCOPED_TRACE(limit);
        auto how = one_at_a_time();
        how.queue_limit = limit;
        with_pool(how, [&, this](pool& p) -> awaitable<> {
            const auto name = "q" + std::to_string(limit);
            const auto held = begin(p, "hold", name);
            CO_ASSERT(co_await comes_true([&] { return logged("begin " + name); }));
            std::vector<std::shared_ptr<std::optional<result<value>>>> waiting;
            for (std::size_t i = 0; i < limit; ++i) waiting.push_back(begin(p, "echo", i));
            const auto before = clock::now();
            const auto refused = co_await p.execute("echo", 1);
            EXPECT_LT(clock::now() - before, 200ms * slow);
            EXPECT_TRUE(failed_saying(refused, errc::queue_full, "queue_limit", "try again later",
                                      std::to_string(limit) + " calls"));
            EXPECT_TRUE(refused.error().code() == failure::retry_elsewhere);
            EXPECT_EQ(refused.error().tool(), "echo");
            EXPECT_EQ(p.stats().refused, 1u);
            let_go(name);
            for (std::size_t i = 0; i < limit; ++i) {
                CO_ASSERT(co_await comes_true([&] { return waiting[i]->has_value(); }));
                EXPECT_EQ(**waiting[i], i);
            }
            CO_ASSERT(co_await comes_true([&] { return held->has_value(); }));
            EXPECT_EQ((co_await p.call<int>("add", 1)), 11);
        });
    }
}

}  // namespace
}  // namespace snakepit::test
