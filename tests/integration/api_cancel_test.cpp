// Cancellation of a call in each of its states, by each cancellation type.

#include "support/pool_fixture.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <random>

namespace snakepit::test {
namespace {

using namespace asio::experimental::awaitable_operators;

class ApiCancel : public LaneTest {
protected:
    /// One worker, one call at a time: what comes second waits in the queue.
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

    /// A call whose end can be looked at, and cancelled.
    struct watched {
        asio::cancellation_signal cancel;
        std::optional<result<value>> outcome;
    };
    static std::shared_ptr<watched> begin(pool& p, std::string tool, value arguments,
                                          call_options how = call_options()) {
        auto w = std::make_shared<watched>();
        async_execute(p, std::move(tool), std::move(arguments), std::move(how),
                      asio::bind_cancellation_slot(w->cancel.slot(), [w](result<value> r) {
                          EXPECT_FALSE(w->outcome) << "ended twice";
                          w->outcome = std::move(r);
                      }));
        return w;
    }
};
INSTANTIATE_LANES(ApiCancel);

TEST_P(ApiCancel, AQueuedCallEndsAtOnceAndIsNeverRun) {
    with_pool(one_at_a_time(), [this](pool& p) -> awaitable<> {
        const auto held = begin(p, "hold", "first");
        CO_ASSERT(co_await comes_true([&] { return logged("begin first"); }));
        const auto queued = begin(p, "append", list("ran", "queued"));
        const auto behind = begin(p, "echo", 3);
        co_await wait_for(5ms);
        EXPECT_EQ(p.stats().queued, 2u);
        const auto before = clock::now();
        queued->cancel.emit(asio::cancellation_type::terminal);
        EXPECT_EQ(p.stats().queued, 1u);
        CO_ASSERT(co_await comes_true([&] { return queued->outcome.has_value(); }));
        EXPECT_LT(clock::now() - before, 1s);
        EXPECT_TRUE(failed_with(*queued->outcome, errc::cancelled));
        EXPECT_EQ(queued->outcome->error().code(), failure::caller_gave_up);
        EXPECT_EQ(queued->outcome->error().tool(), "append");
        EXPECT_FALSE(behind->outcome);
        let_go("first");
        CO_ASSERT(co_await comes_true([&] { return held->outcome && behind->outcome; }));
        EXPECT_EQ(*held->outcome, "first");
        EXPECT_EQ(*behind->outcome, 3);
        EXPECT_EQ(line_count(scratch().path() / "ran"), 0u);
        EXPECT_EQ(p.stats().cancelled, 1u);
    });
}

TEST_P(ApiCancel, ARunningCallReturnsAtOnceAndKeepsItsPlaceUntilPythonHasEndedIt) {
    with_pool(one_at_a_time(), [this](pool& p) -> awaitable<> {
        const auto held = begin(p, "hold", "first");
        CO_ASSERT(co_await comes_true([&] { return logged("begin first"); }));
        held->cancel.emit(asio::cancellation_type::partial);
        CO_ASSERT(co_await comes_true([&] { return held->outcome.has_value(); }, 1s * slow));
        EXPECT_TRUE(failed_with(*held->outcome, errc::cancelled));
        const auto next = begin(p, "append", list("log", "next ran"));
        co_await wait_for(50ms);
        EXPECT_FALSE(next->outcome) << "the worker's only place is still held";
        EXPECT_EQ(p.stats().workers[0].outstanding, 1u);
        EXPECT_EQ(p.stats().in_flight, 0u);
        let_go("first");
        CO_ASSERT(co_await comes_true([&] { return next->outcome.has_value(); }));
        EXPECT_EQ(file_text(scratch().path() / "log"), "begin first\nend first\nnext ran\n");
        EXPECT_EQ(p.stats().late_replies, 1u);
    });
}

TEST_P(ApiCancel, PythonHearsOfIt) {
    with_pool(one_at_a_time(), [this](pool& p) -> awaitable<> {
        const auto call = begin(p, "wait_until_cancelled", "x");
        CO_ASSERT(co_await comes_true([&] { return logged("begin x"); }));
        call->cancel.emit(asio::cancellation_type::terminal);
        EXPECT_TRUE(co_await comes_true([&] { return logged("cancelled x"); }));
    });
}

TEST_P(ApiCancel, ACallThatWasSentButNotBegunIsNotRun) {
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
        const auto sent = begin(p, "append", list("ran", "sent"));
        const auto after = begin(p, "append", list("ran", "after"));
        CO_ASSERT(co_await comes_true([&] { return p.stats().workers[0].outstanding == 3; }));
        co_await wait_for(20ms);  // in the worker by now, most likely; either way it must not run
        sent->cancel.emit(asio::cancellation_type::terminal);
        CO_ASSERT(co_await comes_true([&] { return sent->outcome.has_value(); }, 1s * slow));
        EXPECT_TRUE(failed_with(*sent->outcome, errc::cancelled));
        co_await wait_for(20ms);  // Control is not ordered with Work
        let_go("first");
        CO_ASSERT(co_await comes_true([&] { return held->outcome && after->outcome; }));
        EXPECT_EQ(file_text(scratch().path() / "ran"), "after\n");
        EXPECT_TRUE(co_await comes_true([&] { return p.stats().workers[0].outstanding == 0; }));
    });
}

TEST_P(ApiCancel, TotalIsIgnored) {
    with_pool(one_at_a_time(), [this](pool& p) -> awaitable<> {
        const auto held = begin(p, "hold", "first");
        const auto queued = begin(p, "echo", 2);
        CO_ASSERT(co_await comes_true([&] { return logged("begin first"); }));
        held->cancel.emit(asio::cancellation_type::total);
        queued->cancel.emit(asio::cancellation_type::total);
        co_await wait_for(20ms);
        EXPECT_FALSE(held->outcome);
        let_go("first");
        CO_ASSERT(co_await comes_true([&] { return held->outcome && queued->outcome; }));
        EXPECT_EQ(*held->outcome, "first");
        EXPECT_EQ(*queued->outcome, 2);
    });
}

TEST_P(ApiCancel, AllTypesAtOnceCountAsTheStrongest) {
    with_pool(one_at_a_time(), [this](pool& p) -> awaitable<> {
        const auto held = begin(p, "hold", "first");
        CO_ASSERT(co_await comes_true([&] { return logged("begin first"); }));
        held->cancel.emit(asio::cancellation_type::all);
        held->cancel.emit(asio::cancellation_type::all);
        CO_ASSERT(co_await comes_true([&] { return held->outcome.has_value(); }));
        held->cancel.emit(asio::cancellation_type::all);  // has ended: nobody listens
        EXPECT_TRUE(failed_with(*held->outcome, errc::cancelled));
        let_go("first");
    });
}

TEST_P(ApiCancel, ALargeCallCanBeCancelledWhileItIsBeingSent) {
    auto how = one_at_a_time();
    how.calls_per_worker = 8;
    with_pool(
        how,
        [this](pool& p) -> awaitable<> {
            const std::string large(6 << 20, 'x');
            for (int i = 0; i < 10; ++i) {
                const value held = list("large", large);
                const auto a = begin(p, "wait_until_cancelled", held);
                const auto b = begin(p, "echo", large);
                if (i % 2) co_await wait_for(std::chrono::microseconds(i * 300));
                a->cancel.emit(asio::cancellation_type::terminal);
                CO_ASSERT(co_await comes_true([&] { return a->outcome && b->outcome; }, 20s * slow));
                EXPECT_TRUE(failed_with(*a->outcome, errc::cancelled));
                CO_ASSERT_OK(*b->outcome);
                EXPECT_TRUE(**b->outcome == large);
            }
            EXPECT_TRUE(co_await comes_true([&] { return p.stats().workers[0].outstanding == 0; }));
            EXPECT_EQ(p.stats().workers[0].incarnation, 1u);
        },
        60s * slow);
}

TEST_P(ApiCancel, OrWithATimerCancelsTheCall) {
    with_pool(one_at_a_time(), [this](pool& p) -> awaitable<> {
        asio::steady_timer timer(co_await asio::this_coro::executor, 30ms);
        const auto first = co_await (p.execute("hold", "first") || timer.async_wait(asio::use_awaitable));
        EXPECT_EQ(first.index(), 1u);
        EXPECT_EQ(p.stats().cancelled, 1u);
        let_go("first");
        timer.expires_after(20s * slow);
        const auto second = co_await (p.execute("echo", args("value", 1), call_options().timeout(10s)) ||
                                      timer.async_wait(asio::use_awaitable));
        CO_ASSERT(second.index() == 0);
        EXPECT_EQ(std::get<0>(second), 1);
        timer.expires_after(20s * slow);
        const auto typed = co_await (p.call<int>("add", 1, 2) || timer.async_wait(asio::use_awaitable));
        CO_ASSERT(typed.index() == 0);
        EXPECT_EQ(std::get<0>(typed), 3);
        const auto [a, b] = co_await (p.call<int>("add", 1, 2) && p.call<int>("add", 3, 4));
        EXPECT_EQ(a, 3);
        EXPECT_EQ(b, 7);
    });
}

TEST_P(ApiCancel, WhoWasCancelledBeforeHeAskedGetsCancelledAndNothingIsSent) {
    with_pool(one_at_a_time(), [this](pool& p) -> awaitable<> {
        asio::cancellation_signal signal;
        bool done = false;
        asio::co_spawn(
            *io,
            [&]() -> awaitable<> {
                co_await asio::this_coro::throw_if_cancelled(false);
                co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
                signal.emit(asio::cancellation_type::terminal);
                const auto state = co_await asio::this_coro::cancellation_state;
                CO_ASSERT(state.cancelled() != asio::cancellation_type::none);
                EXPECT_TRUE(failed_with(co_await p.execute("append", list("ran", "it")), errc::cancelled));
                EXPECT_TRUE(failed_with(co_await p.call<int>("add", 1), errc::cancelled));
                EXPECT_TRUE(failed_with(co_await p.stop(), errc::cancelled));
                done = true;
            },
            asio::bind_cancellation_slot(signal.slot(), asio::detached));
        CO_ASSERT(co_await comes_true([&] { return done; }));
        EXPECT_EQ(p.stats().submitted, 0u);
        EXPECT_EQ((co_await p.call<int>("add", 1)), 11) << "the pool has not been stopped";
        EXPECT_EQ(line_count(scratch().path() / "ran"), 0u);
    });
}

TEST_P(ApiCancel, RacingWithTheReplyEndsEachCallOnceAndLeavesTheWorkerUsable) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    auto how = options();
    how.calls_per_worker = 8;
    with_pool(
        how,
        [&, this](pool& p) -> awaitable<> {
            std::minstd_rand random(seed);
            std::size_t succeeded = 0;
            std::size_t cancelled = 0;
            constexpr int rounds = 150;
            constexpr int each = 12;
            for (int round = 0; round < rounds; ++round) {
                std::vector<std::shared_ptr<watched>> calls;
                for (int i = 0; i < each; ++i) calls.push_back(begin(p, "echo", i));
                const auto wait = std::chrono::microseconds(random() % 1500);
                const auto until = clock::now() + wait;
                while (clock::now() < until) co_await asio::post(*io, asio::use_awaitable);
                for (auto& c : calls)
                    if (random() % 2)
                        c->cancel.emit(random() % 2 ? asio::cancellation_type::terminal
                                                    : asio::cancellation_type::partial);
                CO_ASSERT(co_await comes_true([&] {
                    return std::all_of(calls.begin(), calls.end(),
                                       [](const auto& c) { return c->outcome.has_value(); });
                }));
                for (int i = 0; i < each; ++i) {
                    const auto& outcome = *calls[static_cast<std::size_t>(i)]->outcome;
                    if (outcome) {
                        EXPECT_EQ(*outcome, i);
                        ++succeeded;
                    } else {
                        EXPECT_TRUE(failed_with(outcome, errc::cancelled));
                        ++cancelled;
                    }
                }
            }
            EXPECT_EQ(succeeded + cancelled, std::size_t{rounds} * each);
            EXPECT_TRUE(co_await comes_true([&] {
                const auto s = p.stats();
                return s.workers[0].outstanding + s.workers[1].outstanding == 0;
            })) << "a place leaks";
            const auto s = p.stats();
            EXPECT_EQ(s.succeeded, succeeded);
            EXPECT_EQ(s.cancelled, cancelled);
            EXPECT_EQ(s.workers[0].incarnation + s.workers[1].incarnation, 2u);
        },
        90s * slow);
}

TEST_P(ApiCancel, StopsAPoolThatIsStarting) {
    for (const auto* hangs : {"time.sleep(60)\n",  // before there is any worker
                              "import snakepit\nclass A(snakepit.Adapter):\n    def setup(self): time.sleep(60)\n"
                              "    @snakepit.tool\n    def f(self): pass\n"}) {
        SCOPED_TRACE(hangs);
        auto how = module_of(std::string("import time\n") + hangs);
        how.lane = GetParam();
        pool p(io->get_executor(), how);
        asio::cancellation_signal signal;
        std::optional<result<void>> up;
        async_start(p, asio::bind_cancellation_slot(signal.slot(), [&](result<void> r) { up = std::move(r); }));
        const std::size_t wanted = std::string_view(hangs).find("setup") == std::string_view::npos ? 2 : 3;
        run([&]() -> awaitable<> {
            CO_ASSERT(co_await comes_true([&] { return processes().size() == wanted; }));
            const auto before = clock::now();
            signal.emit(asio::cancellation_type::terminal);
            CO_ASSERT(co_await comes_true([&] { return up.has_value(); }));
            EXPECT_LT(clock::now() - before, 3s * slow);
            EXPECT_TRUE(failed_with(*up, errc::cancelled));
        });
    }
}

TEST_P(ApiCancel, OfASecondStartLeavesThePoolAlone) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), one_at_a_time());
        CO_ASSERT_OK(co_await p.start());
        asio::cancellation_signal signal;
        std::optional<result<void>> again;
        async_start(p, asio::bind_cancellation_slot(signal.slot(), [&](result<void> r) { again = std::move(r); }));
        signal.emit(asio::cancellation_type::terminal);
        CO_ASSERT(co_await comes_true([&] { return again.has_value(); }));
        EXPECT_TRUE(failed_with(*again, errc::already_started));
        EXPECT_EQ((co_await p.call<int>("add", 1)), 11);
        CO_ASSERT_OK(co_await p.stop());
    });
}

TEST_P(ApiCancel, StopsWaitingForTheEndButNotTheEnd) {
    auto how = one_at_a_time();
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        CO_ASSERT_OK(co_await p.start());
        const auto held = begin(p, "hold", "first");
        CO_ASSERT(co_await comes_true([&] { return logged("begin first"); }));
        asio::cancellation_signal signal;
        std::optional<result<void>> gave_up;
        async_stop(p, asio::bind_cancellation_slot(signal.slot(), [&](result<void> r) { gave_up = std::move(r); }));
        co_await wait_for(20ms);
        EXPECT_FALSE(gave_up);
        signal.emit(asio::cancellation_type::terminal);
        CO_ASSERT(co_await comes_true([&] { return gave_up.has_value(); }));
        EXPECT_TRUE(failed_with(*gave_up, errc::cancelled));
        EXPECT_FALSE(held->outcome);
        let_go("first");
        CO_ASSERT(co_await comes_true([&] { return held->outcome.has_value(); }));
        EXPECT_EQ(*held->outcome, "first") << "drained";
        CO_ASSERT_OK(co_await p.stop());
    });
}

}  // namespace
}  // namespace snakepit::test
