// Starting, stopping and destroying pools at every moment.

#include "support/pool_fixture.hpp"

#include <asio/detached.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/use_future.hpp>
#include <future>
#include <thread>

namespace snakepit::test {
namespace {

class ApiLifetime : public LaneTest {
protected:
    [[nodiscard]] bool logged(const std::string& line) const {
        return ("\n" + file_text(scratch().path() / "log")).find("\n" + line + "\n") != std::string::npos;
    }
    void let_go(const std::string& name) const { scratch().write(name + ".go", ""); }
    /// Runs the io_context, which need not become idle, until the condition holds.
    void run_until(const std::function<bool()>& holds) {
        io->restart();
        for (const auto until = clock::now() + 20s * slow; !holds();) {
            if (clock::now() > until) FAIL() << "not within the limit";
            io->run_for(2ms);
            io->restart();
        }
    }
    std::unique_ptr<pool> started(pool_options how) {
        auto p = std::make_unique<pool>(io->get_executor(), std::move(how));
        std::optional<result<void>> up;
        async_start(*p, [&](result<void> r) { up = std::move(r); });
        run_until([&] { return up.has_value(); });
        if (up) EXPECT_OK(*up);
        return p;
    }
    struct tally {
        int ended = 0;
        std::map<int, int> by_code;
        void operator()(const result<value>& r) {
            ++ended;
            ++by_code[r ? 0 : r.error().code().value()];
        }
    };
    static constexpr int stopped = static_cast<int>(errc::pool_stopped);
};
INSTANTIATE_LANES(ApiLifetime);

TEST_P(ApiLifetime, ExecuteBeforeStartFails) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), options());
        EXPECT_TRUE(failed_with(co_await p.execute("echo", 1), errc::not_started));
        EXPECT_TRUE(failed_with(co_await p.call<int>("add", 1), errc::not_started));
        CO_ASSERT_OK(co_await p.start());
        EXPECT_EQ(co_await p.execute("echo", 1), 1);
        CO_ASSERT_OK(co_await p.stop());
        EXPECT_TRUE(failed_with(co_await p.execute("echo", 1), errc::pool_stopped));
        EXPECT_TRUE(failed_with(co_await p.execute("no such tool", 1), errc::pool_stopped));
    });
}

TEST_P(ApiLifetime, ExecuteWhileStartingFails) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), options());
        std::optional<result<void>> up;
        async_start(p, [&](result<void> r) { up = std::move(r); });
        while (!up) {
            const auto early = co_await p.execute("echo", 1);
            if (!up) {
                EXPECT_TRUE(failed_with(early, errc::not_started));
            }
            co_await wait_for(1ms);
        }
        CO_ASSERT_OK(*up);
        CO_ASSERT_OK(co_await p.stop());
    });
}

TEST_P(ApiLifetime, APoolThatWasNeverStartedCanBeStoppedAndDestroyed) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), options());
        CO_ASSERT_OK(co_await p.stop());
        CO_ASSERT_OK(co_await p.stop());
        EXPECT_TRUE(failed_with(co_await p.start(), errc::pool_stopped));
        EXPECT_TRUE(failed_with(co_await p.execute("echo", 1), errc::pool_stopped));
        pool untouched(io->get_executor(), options());
        pool moved(std::move(untouched));
        EXPECT_TRUE(moved.tools().empty());
    });
}

TEST_P(ApiLifetime, StartsOnce) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), options());
        std::optional<result<void>> second;
        asio::co_spawn(*io, [&]() -> awaitable<> { second = co_await p.start(); }, asio::detached);
        const auto first = co_await p.start();
        CO_ASSERT(co_await comes_true([&] { return second.has_value(); }));
        EXPECT_NE(first.has_value(), second->has_value()) << "one of two at once";
        EXPECT_TRUE(failed_with(first ? *second : first, errc::already_started));
        EXPECT_TRUE(failed_with(co_await p.start(), errc::already_started));
        EXPECT_EQ(p.stats().workers.size(), 2u);
        CO_ASSERT_OK(co_await p.stop());
        EXPECT_TRUE(failed_with(co_await p.start(), errc::pool_stopped));
    });
}

TEST_P(ApiLifetime, StopsManyTimesWithOneEnd) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), options());
        CO_ASSERT_OK(co_await p.start());
        int ended = 0;
        for (int i = 0; i < 10; ++i)
            async_stop(p, [&](result<void> r) {
                EXPECT_OK(r);
                ++ended;
            });
        CO_ASSERT_OK(co_await p.stop());
        EXPECT_TRUE(co_await comes_true([&] { return ended == 10; }));
        CO_ASSERT_OK(co_await p.stop());
        EXPECT_TRUE(processes().empty());
    });
}

TEST_P(ApiLifetime, StopsWhileItStarts) {
    for (const auto after : {0us, 500us, 5'000us, 50'000us, 120'000us, 200'000us, 300'000us}) {
        SCOPED_TRACE(std::to_string(after.count()) + " us");
        run([&]() -> awaitable<> {
            pool p(io->get_executor(), options());
            std::optional<result<void>> up;
            async_start(p, [&](result<void> r) { up = std::move(r); });
            co_await wait_for(after);
            const auto before = clock::now();
            CO_ASSERT_OK(co_await p.stop());
            EXPECT_LT(clock::now() - before, 8s * slow);
            CO_ASSERT(co_await comes_true([&] { return up.has_value(); }));
            if (!*up) {
                EXPECT_TRUE(failed_with(*up, errc::pool_stopped));
            }
            EXPECT_TRUE(processes().empty());
            EXPECT_TRUE(fs::is_empty(runtime()));
        });
    }
}

TEST_P(ApiLifetime, StopEndsTenThousandQueuedCallsOnceEach) {
    auto how = options();
    how.calls_per_worker = 2;
    how.drain_timeout = 10s;
    const auto t = std::make_shared<tally>();
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        CO_ASSERT_OK(co_await p.start());
        for (const auto* name : {"a", "b"})
            async_execute(p, "hold", name, call_options(), [t](result<value> r) { (*t)(r); });
        CO_ASSERT(co_await comes_true([&] { return p.stats().in_flight == 2; }));
        for (int i = 0; i < 10'000; ++i) async_execute(p, "echo", i, call_options(), [t](result<value> r) { (*t)(r); });
        EXPECT_EQ(p.stats().queued, 10'000u);
        std::optional<result<void>> down;
        async_stop(p, [&](result<void> r) { down = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return t->ended == 10'000; }));
        EXPECT_EQ(t->by_code[stopped], 10'000);
        EXPECT_FALSE(down) << "two calls are still running";
        EXPECT_TRUE(failed_with(co_await p.execute("echo", 1), errc::pool_stopped)) << "during stop";
        for (const auto* name : {"a", "b"}) let_go(name);
        CO_ASSERT(co_await comes_true([&] { return down.has_value(); }, 10s * slow));
        EXPECT_OK(*down);
        EXPECT_EQ(t->ended, 10'002);
        EXPECT_EQ(t->by_code[0], 2) << "what was running was drained";
        const auto s = p.stats();
        EXPECT_EQ(s.submitted, s.succeeded + s.failed + s.cancelled + s.expired);
        EXPECT_EQ(s.queued + s.in_flight, 0u);
    });
}

TEST_P(ApiLifetime, StopWithoutDrainEndsRunningCallsAtOnce) {
    auto how = options();
    how.drain_timeout = 0ms;
    how.stop_grace = 100ms;
    const auto t = std::make_shared<tally>();
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        CO_ASSERT_OK(co_await p.start());
        for (const auto* name : {"a", "b"})
            async_execute(p, "hold", name, call_options(), [t](result<value> r) { (*t)(r); });
        CO_ASSERT(co_await comes_true([&] { return logged("begin a") && logged("begin b"); }));
        const auto before = clock::now();
        CO_ASSERT_OK(co_await p.stop());
        EXPECT_LT(clock::now() - before, 1s * slow);
        EXPECT_EQ(t->by_code[stopped], 2);
    });
}

TEST_P(ApiLifetime, DestroyedWithCallsInFlightInsideTheContext) {
    const auto t = std::make_shared<tally>();
    run([&]() -> awaitable<> {
        auto p = std::make_unique<pool>(io->get_executor(), options());
        CO_ASSERT_OK(co_await p->start());
        for (int i = 0; i < 100; ++i) async_execute(*p, "hold", "x", call_options(), [t](result<value> r) { (*t)(r); });
        CO_ASSERT(co_await comes_true([&] { return logged("begin x"); }));
        const auto before = clock::now();
        p.reset();
        EXPECT_LT(clock::now() - before, 2s * slow);
        EXPECT_TRUE(processes().empty()) << "all are gone when the destructor returns";
        EXPECT_EQ(t->ended, 0) << "no handler runs inside the destructor";
        CO_ASSERT(co_await comes_true([&] { return t->ended == 100; }));
        EXPECT_EQ(t->by_code[stopped], 100);
    });
}

TEST_P(ApiLifetime, DestroyedFromAnotherThread) {
    const auto t = std::make_shared<tally>();
    auto p = started(options());
    for (int i = 0; i < 100; ++i) async_execute(*p, "hold", "x", call_options(), [t](result<value> r) { (*t)(r); });
    run_until([&] { return logged("begin x"); });
    std::thread other([&] {
        std::this_thread::sleep_for(5ms);
        p.reset();
    });
    drive(20s * slow, [&] { return t->ended == 100; });
    other.join();
    EXPECT_EQ(t->by_code[stopped], 100);
}

TEST_P(ApiLifetime, DestroyedWithAContextThatNeverRunsAgain) {
    const auto t = std::make_shared<tally>();
    auto p = started(options());
    for (int i = 0; i < 100; ++i) async_execute(*p, "hold", "x", call_options(), [t](result<value> r) { (*t)(r); });
    run_until([&] { return logged("begin x"); });
    const auto before = clock::now();
    p.reset();
    EXPECT_LT(clock::now() - before, 2s * slow);
    EXPECT_TRUE(processes().empty());
    EXPECT_TRUE(fs::is_empty(runtime()));
    io.reset();
    EXPECT_EQ(t->ended, 0);
    EXPECT_EQ(t.use_count(), 1) << "handlers are freed with their context";
}

TEST_P(ApiLifetime, ACoroutineThatNeverFinishesIsFreedWithItsContext) {
    const auto alive = std::make_shared<int>();
    auto p = started(options());
    asio::co_spawn(
        *io,
        [](std::shared_ptr<int>, pool& on) -> awaitable<> {
            (void)co_await on.execute("hold", "x");
            (void)co_await on.execute("hold", std::string(500'000, 'x'));
        }(alive, *p),
        asio::detached);
    run_until([&] { return logged("begin x"); });
    p.reset();
    io.reset();
    EXPECT_EQ(alive.use_count(), 1);
}

TEST_P(ApiLifetime, DestroyedWhileItStarts) {
    for (const auto after : {0ms, 1ms, 10ms, 60ms, 110ms, 160ms, 250ms, 400ms}) {
        SCOPED_TRACE(std::to_string(after.count()) + " ms");
        std::optional<result<void>> up;
        auto p = std::make_unique<pool>(io->get_executor(), options());
        async_start(*p, [&](result<void> r) { up = std::move(r); });
        io->restart();
        io->run_for(after);
        const auto before = clock::now();
        p.reset();
        EXPECT_LT(clock::now() - before, 2s * slow);
        drive(20s * slow, [&] { return up.has_value(); });
        if (!*up) {
            EXPECT_TRUE(failed_with(*up, errc::pool_stopped));
        }
        EXPECT_TRUE(eventually([&] { return processes().empty(); }, 2s));
        EXPECT_TRUE(fs::is_empty(runtime()));
    }
}

TEST_P(ApiLifetime, DestroyedWhileItStartsWithAContextThatNeverRunsAgain) {
    for (const auto after : {1ms, 60ms, 110ms, 160ms, 250ms}) {
        SCOPED_TRACE(std::to_string(after.count()) + " ms");
        bool told = false;
        auto p = std::make_unique<pool>(io->get_executor(), options());
        async_start(*p, [&](const result<void>&) { told = true; });
        io->restart();
        io->run_for(after);
        p.reset();
        io.emplace();
        EXPECT_TRUE(eventually([&] { return processes().empty(); }, 2s)) << leftovers();
        EXPECT_TRUE(fs::is_empty(runtime()));
    }
}

TEST_P(ApiLifetime, DestroyedWhileItStops) {
    auto p = started(options());
    const auto t = std::make_shared<tally>();
    std::optional<result<void>> down;
    async_execute(*p, "hold", "x", call_options(), [t](result<value> r) { (*t)(r); });
    run_until([&] { return logged("begin x"); });
    async_stop(*p, [&](result<void> r) { down = std::move(r); });
    io->restart();
    io->run_for(20ms);
    EXPECT_FALSE(down);
    p.reset();
    drive(20s * slow, [&] { return down.has_value(); });
    EXPECT_OK(*down);
    EXPECT_EQ(t->by_code[stopped], 1);
}

TEST_P(ApiLifetime, ThePoolObjectMayGoWhileItsOperationsAreAwaited) {
    run([&]() -> awaitable<> {
        std::optional<awaitable<result<value>>> lazy;
        {
            pool p(io->get_executor(), options());
            CO_ASSERT_OK(co_await p.start());
            lazy.emplace(p.execute("echo", 1));
        }
        EXPECT_TRUE(failed_with(co_await std::move(*lazy), errc::pool_stopped)) << "begun after the pool's end";
    });
}

TEST_P(ApiLifetime, TheContextReturnsAfterStopWhileTheObjectLives) {
    auto p = started(options());
    EXPECT_FALSE(io->stopped());
    io->restart();
    EXPECT_EQ(io->run_for(50ms), io->run_for(0ms) * 0) << "idle, but not out of work";
    std::optional<result<void>> down;
    async_stop(*p, [&](result<void> r) { down = std::move(r); });
    drive(20s * slow, [&] { return down.has_value(); });
}

TEST_P(ApiLifetime, AHandlerThatThrowsDoesNotStopTheOthers) {
    auto p = started(options());
    int ended = 0;
    int thrown = 0;
    for (int i = 0; i < 50; ++i)
        async_execute(*p, "echo", i, call_options(), [&, i](const result<value>&) {
            ++ended;
            if (i % 7 == 0) throw std::runtime_error("the user's handler");
        });
    io->restart();
    for (const auto until = clock::now() + 20s * slow; ended < 50 && clock::now() < until;) {
        try {
            io->run_for(1ms);
        } catch (const std::runtime_error&) {
            ++thrown;
        }
    }
    EXPECT_EQ(ended, 50);
    EXPECT_EQ(thrown, 8);
    std::optional<result<void>> down;
    async_stop(*p, [&](result<void> r) { down = std::move(r); });
    drive(20s * slow, [&] { return down.has_value(); });
}

TEST_P(ApiLifetime, MoveAssignmentKeepsBothPoolsWhole) {
    run([&]() -> awaitable<> {
        pool a(io->get_executor(), options());
        CO_ASSERT_OK(co_await a.start());
        pool b(io->get_executor(), options());
        b = std::move(a);
        EXPECT_EQ(co_await b.execute("echo", 1), 1);
        CO_ASSERT_OK(co_await b.stop());
    });
}

TEST_P(ApiLifetime, AThousandStartsAreNotNeededToSeeALeakTenAre) {
    const auto before = descriptors_of(::getpid()).size();
    for (int i = 0; i < 10; ++i)
        with_pool(options(), [](pool& p) -> awaitable<> { EXPECT_EQ(co_await p.execute("echo", 1), 1); });
    EXPECT_TRUE(eventually([&] { return descriptors_of(::getpid()).size() <= before + 3; }, 2s))
        << "only the context's own may have come: " << leftovers();
}

}  // namespace
}  // namespace snakepit::test
