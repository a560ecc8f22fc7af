#include "session/memory_backend.hpp"
#include "session/sweeper.hpp"

#include "support/slow_backend.hpp"

#include <snakepit/pool.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace snakepit {
namespace {

using namespace std::chrono_literals;
using asio::awaitable;
using test::slow_backend;

class Session : public ::testing::Test {
protected:
    void make(const session_options& options = {}) {
        pool_options all;
        all.module = "never_started";
        all.sessions = options;
        pit.emplace(io.get_executor(), all);
    }
    template <class T>
    result<T> await(awaitable<result<T>> operation) {
        std::optional<result<T>> outcome;
        asio::co_spawn(io, std::move(operation), [&](std::exception_ptr failed, result<T> r) {
            if (failed) std::rethrow_exception(failed);
            outcome = std::move(r);
        });
        io.restart();
        io.run();
        return std::move(outcome).value();
    }
    value look(session& s, const std::string& name) {
        auto found = await(s.get(name)).value();
        return found ? found->data : value("nothing");
    }
    static int number(const std::optional<value>& v) { return v ? v->get<int>() : 0; }

    asio::io_context io;
    std::optional<pool> pit;
};

TEST_F(Session, KeepsVariablesWithTheirVersions) {
    make();
    auto alice = pit->session("alice");
    EXPECT_EQ(alice.key(), "alice");
    EXPECT_EQ(await(alice.get("x")).value(), std::nullopt);
    EXPECT_EQ(await(alice.set("x", {{"list", {1, 2.5, "three", nullptr}}})).value(), 1U);
    const auto x = await(alice.get("x")).value().value();
    EXPECT_EQ(x.data, value({{"list", {1, 2.5, "three", nullptr}}}));
    EXPECT_EQ(x.version, 1U);
    EXPECT_EQ(await(alice.set("y", value())).value(), 2U);
    EXPECT_THAT(await(alice.keys()).value(), ::testing::UnorderedElementsAre("x", "y"));
    EXPECT_TRUE(await(alice.get("y")).value()->data.is_null()) << "nothing, but there";
    EXPECT_TRUE(await(alice.erase("x")).value());
    EXPECT_FALSE(await(alice.erase("x")).value());
    EXPECT_EQ(await(alice.get("x")).value(), std::nullopt);
    EXPECT_EQ(await(pit->session("bob").keys()).value().size(), 0U);
}

TEST_F(Session, ComparesVersionsAndSets) {
    make();
    auto s = pit->session("alice");
    EXPECT_EQ(await(s.compare_and_set("x", 1, 1)).error(), errc::version_conflict);
    EXPECT_EQ(await(s.compare_and_set("x", 0, 1)).value(), 1U);
    EXPECT_EQ(await(s.compare_and_set("x", 0, 2)).error(), errc::version_conflict);
    EXPECT_EQ(await(s.compare_and_set("x", 1, 3)).value(), 2U);
    EXPECT_EQ(look(s, "x"), 3);
}

TEST_F(Session, RefusesWhatCannotBeKept) {
    make({.max_sessions = 1, .max_value_bytes = 10});
    auto s = pit->session("alice");
    for (const std::string wrong : {"", "\xff"}) {
        EXPECT_EQ(await(pit->session(wrong).get("x")).error(), errc::invalid_name);
        EXPECT_EQ(await(s.get(wrong)).error(), errc::invalid_name);
        EXPECT_EQ(await(s.set(wrong, 1)).error(), errc::invalid_name);
        EXPECT_EQ(await(s.erase(wrong)).error(), errc::invalid_name);
        EXPECT_EQ(await(s.compare_and_set(wrong, 0, 1)).error(), errc::invalid_name);
        EXPECT_EQ(await(s.update(wrong, [](const auto&) { return value(1); })).error(), errc::invalid_name);
    }
    EXPECT_EQ(await(pit->session("bob").set("x", 1)).error(), errc::too_many_sessions);
    EXPECT_EQ(await(s.set("x", "more than ten bytes")).error(), errc::value_too_large);
    const auto unserializable = await(s.set("rows", {{"a", {1, "\xff"}}})).error();
    EXPECT_EQ(unserializable, errc::unserializable);
    EXPECT_THAT(unserializable.message(), ::testing::HasSubstr("rows[\"a\"][1]"));
    EXPECT_EQ(await(s.expire_after(-1ms)).error(), errc::bad_arguments);
    EXPECT_EQ(await(s.keys()).value().size(), 0U);
}

TEST_F(Session, MeansOneSessionUntilItEnds) {
    make();
    auto handle = pit->session("alice");
    auto copy = handle;
    const auto early = pit->session("alice");  // not opened before the other has gone
    ASSERT_TRUE(await(handle.set("x", 1)));
    EXPECT_EQ(look(copy, "x"), 1);
    ASSERT_TRUE(await(copy.close()));
    EXPECT_EQ(await(handle.get("x")).error(), errc::session_closed);
    EXPECT_EQ(await(handle.close()).error(), errc::session_closed);
    auto next = early;
    EXPECT_EQ(look(next, "x"), "nothing");
    ASSERT_TRUE(await(next.set("x", 2)));
    EXPECT_EQ(await(handle.set("x", 1)).error(), errc::session_closed);
    EXPECT_EQ(await(copy.update("x", [](const auto&) { return value(1); })).error(), errc::session_closed);
    EXPECT_EQ(await(handle.watch()).error(), errc::session_closed);
    EXPECT_EQ(look(next, "x"), 2);
}

TEST_F(Session, ExpiresWhenItIsTold) {
    make();
    auto s = pit->session("alice");
    ASSERT_TRUE(await(s.expire_after(1ms)));
    std::this_thread::sleep_for(5ms);
    EXPECT_EQ(await(s.keys()).error(), errc::session_closed);
}

TEST_F(Session, CompletesAtOnceInMemory) {
    make();
    bool done = false;
    const auto work = [&]() -> awaitable<void> {
        auto s = pit->session("alice");
        for (int i = 0; i < 100; ++i) {
            (void)co_await s.set("x", i);
            (void)co_await s.get("x");
        }
        done = true;
    };
    asio::co_spawn(io, work, [](std::exception_ptr) {});
    io.run_one();
    EXPECT_TRUE(done) << "nothing waited";
    io.run();
}

TEST_F(Session, UpdatesUntilItWins) {
    make();
    constexpr int threads = 4;
    constexpr int each = 2'000;
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t)
        all.emplace_back([&] {
            asio::io_context own;
            const auto work = [&]() -> awaitable<void> {
                auto s = pit->session("alice");
                const std::string long_enough_for_the_heap(100, 'x');
                for (int i = 0; i < each; ++i) {
                    const auto named = [long_enough_for_the_heap](std::optional<value> present) {
                        EXPECT_EQ(long_enough_for_the_heap.size(), 100U);
                        return value(number(present) + 1);
                    };
                    const auto now = co_await s.update("n", named);
                    EXPECT_TRUE(now);
                    const auto again = co_await s.update("n", [&](const std::optional<value>& present) {
                        EXPECT_EQ(long_enough_for_the_heap.size(), 100U);
                        return value(number(present) + 1);
                    });
                    EXPECT_TRUE(again);
                }
            };
            asio::co_spawn(own, work, [](std::exception_ptr e) { EXPECT_EQ(e, nullptr); });
            own.run();
        });
    for (auto& t : all) t.join();
    auto s = pit->session("alice");
    EXPECT_EQ(look(s, "n"), threads * each * 2);
}

TEST_F(Session, ThrowsWhatTheFunctionOfAnUpdateThrows) {
    make();
    auto s = pit->session("alice");
    EXPECT_THROW((void)await(s.update("x", [](const auto&) -> value { throw std::runtime_error("no"); })),
                 std::runtime_error);
    EXPECT_EQ(look(s, "x"), "nothing");
}

TEST_F(Session, TellsWhatChangesAndThatItWasClosed) {
    make();
    auto s = pit->session("alice");
    auto watch = await(s.watch()).value();
    ASSERT_TRUE(await(s.set("x", {1, 2})));
    ASSERT_TRUE(await(s.erase("x")));
    ASSERT_TRUE(await(s.close()));
    auto first = await(watch.next()).value();
    EXPECT_EQ(first.name, "x");
    EXPECT_EQ(first.data, value({1, 2}));
    EXPECT_EQ(first.version, 1U);
    EXPECT_EQ(first.missed, 0U);
    auto second = await(watch.next()).value();
    EXPECT_EQ(second.name, "x");
    EXPECT_EQ(second.data, std::nullopt);
    EXPECT_EQ(second.version, 2U);
    EXPECT_EQ(await(watch.next()).error(), errc::session_closed);
    EXPECT_EQ(await(watch.next()).error(), errc::session_closed);
}

TEST_F(Session, CountsWhatASlowWatcherMissed) {
    make();
    auto s = pit->session("alice");
    auto watch = await(s.watch(3)).value();
    for (int i = 1; i <= 10; ++i) ASSERT_TRUE(await(s.set("x", i)));
    auto next = await(watch.next()).value();
    EXPECT_EQ(next.missed, 7U);
    EXPECT_EQ(next.version, 8U);
    next = await(watch.next()).value();
    EXPECT_EQ(next.missed, 0U);
    EXPECT_EQ(next.version, 9U);
    for (int i = 11; i <= 13; ++i) ASSERT_TRUE(await(s.set("x", i)));
    next = await(watch.next()).value();
    EXPECT_EQ(next.missed, 1U);
    EXPECT_EQ(next.version, 11U);
    ASSERT_TRUE(await(s.close()));
    EXPECT_EQ(await(watch.next()).value().version, 12U);
    EXPECT_EQ(await(watch.next()).value().version, 13U);
    EXPECT_EQ(await(watch.next()).error(), errc::session_closed);
}

TEST_F(Session, KeepsAsMuchForAWatchAsItSays) {
    make();
    auto s = pit->session("alice");
    auto watch = await(s.watch()).value();
    for (std::size_t i = 0; i < session::watch_limit; ++i) ASSERT_TRUE(await(s.set("x", 1)));
    EXPECT_EQ(await(watch.next()).value().missed, 0U);
    ASSERT_TRUE(await(s.set("x", 1)));
    ASSERT_TRUE(await(s.set("x", 1)));
    EXPECT_EQ(await(watch.next()).value().missed, 1U);
}

TEST_F(Session, ResumesWhoWaitsForAChange) {
    make();
    auto s = pit->session("alice");
    auto watch = await(s.watch()).value();
    std::vector<std::uint64_t> versions;
    const auto wait = [&]() -> awaitable<void> {
        for (;;) {
            const auto next = co_await watch.next();
            if (!next) {
                EXPECT_EQ(next.error(), errc::session_closed);
                co_return;
            }
            EXPECT_EQ(co_await asio::this_coro::executor, asio::any_io_executor(io.get_executor()));
            versions.push_back(next->version);
        }
    };
    asio::co_spawn(io, wait, [](std::exception_ptr e) { EXPECT_EQ(e, nullptr); });
    io.poll();
    std::thread elsewhere([&] {
        asio::io_context own;
        const auto work = [&]() -> awaitable<void> {
            for (int i = 0; i < 1'000; ++i) (void)co_await s.set("x", i);
            (void)co_await s.close();
        };
        asio::co_spawn(own, work, [](std::exception_ptr) {});
        own.run();
    });
    io.restart();
    io.run();
    elsewhere.join();
    EXPECT_EQ(versions.size(), 1'000U) << "as many as are kept at most";
    EXPECT_TRUE(std::is_sorted(versions.begin(), versions.end()));
}

/// Starts `next` and leaves it waiting. What it ends with goes to `outcome`.
void wait_for(asio::io_context& io, session_watch& watch, asio::cancellation_slot slot,
              std::optional<result<variable_event>>& outcome) {
    asio::co_spawn(io, watch.next(),
                   asio::bind_cancellation_slot(slot, [&](std::exception_ptr e, result<variable_event> r) {
                       EXPECT_EQ(e, nullptr);
                       outcome = std::move(r);
                   }));
    io.restart();
    io.poll();
    EXPECT_EQ(outcome, std::nullopt);
}

TEST_F(Session, StopsWaitingForAChangeWhenItIsCancelled) {
    make();
    auto s = pit->session("alice");
    auto watch = await(s.watch()).value();
    for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial}) {
        asio::cancellation_signal signal;
        std::optional<result<variable_event>> outcome;
        const auto wait = [&]() -> awaitable<result<variable_event>> {
            co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
            co_await asio::this_coro::throw_if_cancelled(false);
            co_return co_await watch.next();
        };
        asio::co_spawn(io, wait,
                       asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr, result<variable_event> r) {
                           outcome = std::move(r);
                       }));
        io.restart();
        io.poll();
        signal.emit(asio::cancellation_type::total);
        io.restart();
        io.poll();
        EXPECT_EQ(outcome, std::nullopt);
        signal.emit(type);
        io.restart();
        io.poll();
        ASSERT_TRUE(outcome);
        EXPECT_EQ(outcome->error(), errc::cancelled);
    }
    ASSERT_TRUE(await(s.set("x", 1)));
    EXPECT_EQ(await(watch.next()).value().version, 1U) << "the watch goes on";
}

TEST_F(Session, EndsTheWaitingForAChangeWithItsWatch) {
    make();
    auto s = pit->session("alice");
    std::optional<session_watch> watch(await(s.watch()).value());
    std::optional<result<variable_event>> outcome;
    wait_for(io, *watch, {}, outcome);
    watch.reset();
    io.restart();
    io.run();
    EXPECT_EQ(outcome->error(), errc::cancelled);
    ASSERT_TRUE(await(s.set("x", 1)));
}

TEST_F(Session, WatchesNothingWithAWatchThatIsEmpty) {
    session_watch none;
    EXPECT_EQ(await(none.next()).error(), errc::session_closed);
    make();
    auto s = pit->session("alice");
    auto watch = await(s.watch()).value();
    auto moved = std::move(watch);
    // NOLINTNEXTLINE(bugprone-use-after-move): that is the question
    EXPECT_EQ(await(watch.next()).error(), errc::session_closed);
    ASSERT_TRUE(await(s.set("x", 1)));
    EXPECT_TRUE(await(moved.next()));
}

TEST_F(Session, EndsWithThePool) {
    for (const bool stopped : {true, false}) {
        make();
        auto s = pit->session("alice");
        auto watch = await(s.watch()).value();
        ASSERT_TRUE(await(s.set("x", 1)));
        EXPECT_TRUE(await(watch.next()));
        std::optional<result<variable_event>> outcome;
        wait_for(io, watch, {}, outcome);
        if (stopped) {
            ASSERT_TRUE(await(pit->stop()));
        } else {
            pit.reset();
        }
        io.restart();
        io.run();
        ASSERT_TRUE(outcome);
        EXPECT_EQ(outcome->error(), errc::pool_stopped);
        EXPECT_EQ(await(watch.next()).error(), errc::pool_stopped);
        EXPECT_EQ(await(s.get("x")).error(), errc::pool_stopped);
        EXPECT_EQ(await(s.set("x", 1)).error(), errc::pool_stopped);
        EXPECT_EQ(await(s.watch()).error(), errc::pool_stopped);
        EXPECT_EQ(await(s.close()).error(), errc::pool_stopped);
        const bool there = pit.has_value();
        EXPECT_EQ(there, stopped);
        if (there) {
            EXPECT_EQ(await(pit->session("bob").get("x")).error(), errc::pool_stopped);
        }
    }
}

TEST_F(Session, MayLiveElsewhere) {
    make({.max_value_bytes = 20, .backend = std::make_shared<slow_backend>(session_options())});
    auto s = pit->session("alice");
    auto watch = await(s.watch()).value();
    EXPECT_EQ(await(s.set("x", 1)).value(), 1U);
    EXPECT_EQ(await(s.update("x", [](const auto& v) { return value(number(v) + 1); })).value().data, 2);
    EXPECT_EQ(await(s.set("x", "more than twenty bytes")).error(), errc::value_too_large);
    EXPECT_EQ(look(s, "x"), 2);
    EXPECT_EQ(await(s.keys()).value().size(), 1U);
    EXPECT_TRUE(await(s.expire_after(1h)));
    EXPECT_TRUE(await(s.erase("x")).value());
    EXPECT_EQ(await(watch.next()).value().data, 1);
    EXPECT_EQ(await(watch.next()).value().data, 2);
    ASSERT_TRUE(await(s.close()));
    EXPECT_EQ(await(watch.next()).value().data, std::nullopt);
    EXPECT_EQ(await(watch.next()).error(), errc::session_closed);
    EXPECT_EQ(await(s.get("x")).error(), errc::session_closed);
}

TEST_F(Session, SaysThatItWasCancelledWhereTheBackendWaits) {
    make({.backend = std::make_shared<slow_backend>(session_options())});
    auto s = pit->session("alice");
    for (const bool before : {true, false}) {
        asio::cancellation_signal signal;
        std::optional<result<std::uint64_t>> outcome;
        const auto set = [&]() -> awaitable<result<std::uint64_t>> {
            co_await asio::this_coro::throw_if_cancelled(false);
            if (before) signal.emit(asio::cancellation_type::terminal);
            co_return co_await s.set("x", 1);
        };
        asio::co_spawn(io, set,
                       asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr e, result<std::uint64_t> r) {
                           EXPECT_EQ(e, nullptr);
                           outcome = std::move(r);
                       }));
        io.restart();
        io.run_one();
        if (!before) signal.emit(asio::cancellation_type::terminal);
        io.run();
        ASSERT_TRUE(outcome);
        EXPECT_EQ(outcome->error(), errc::cancelled);
    }
    EXPECT_EQ(look(s, "x"), "nothing");
}

TEST_F(Session, IsSweptOnlyWhileThereIsSomethingToSweep) {
    const auto store = std::make_shared<detail::memory_store>(session_options{.ttl = 30ms});
    const auto now = detail::memory_store::clock::now;
    const auto sweeps =
        std::make_shared<detail::sweeper>(asio::make_strand(asio::any_io_executor(io.get_executor())), store);
    sweeps->start();
    EXPECT_EQ(io.run(), 0U) << "nothing to wait for";
    for (int i = 0; i < 5'000; ++i) ASSERT_TRUE(store->open(std::to_string(i), now()));
    io.restart();
    const auto begin = now();
    const auto handlers = io.run();
    EXPECT_EQ(store->size(), 0U);
    EXPECT_GE(now() - begin, 20ms);
    EXPECT_LT(handlers, 100U);
    ASSERT_TRUE(store->open("one more", now()));
    sweeps->stop();
    io.restart();
    io.run();
    EXPECT_EQ(store->size(), 1U) << "nobody sweeps any more";
}

}  // namespace
}  // namespace snakepit
