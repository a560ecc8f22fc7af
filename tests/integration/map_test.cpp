// pool::map: order, window, errors of items, cancellation, small queues, and ends of all kinds.

#include "support/pool_fixture.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/detached.hpp>
#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_future.hpp>
#include <atomic>
#include <csignal>
#include <future>
#include <numeric>
#include <ranges>
#include <thread>

namespace snakepit::test {
namespace {

const auto mappers = R"(
import os, signal, time
import snakepit
from everyday import append, hold, sleep, wait_until_cancelled

@snakepit.tool
def twice(n):
    return 2 * n

@snakepit.tool
def only_even(n):
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n

@snakepit.tool
def gate(n):
    return hold("gate") if n == 0 else n

@snakepit.tool
def die_at(n, fatal):
    if n == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    return n

@snakepit.tool
def through_host(n):
    return snakepit.host.map_there(n)
)";

class Map : public PoolTest {
protected:
    [[nodiscard]] pool_options mapping() {
        auto o = module_of(mappers);
        o.workers.min = 2;
        return o;
    }
    [[nodiscard]] std::size_t logged(const std::string& line) const {
        const auto text = "\n" + file_text(scratch().path() / "log");
        std::size_t count = 0;
        for (auto at = text.find("\n" + line); at != text.npos; at = text.find("\n" + line, at + 1)) ++count;
        return count;
    }
    void open_gate() const { scratch().write("gate.go", ""); }
};

std::vector<int> numbers(int count) {
    std::vector<int> all(static_cast<std::size_t>(count));
    std::iota(all.begin(), all.end(), 0);
    return all;
}

TEST_F(Map, ResultsComeInTheOrderOfTheRange) {
    with_pool(mapping(), [](pool& p) -> awaitable<> {
        const auto items = numbers(3'000);
        auto results = p.map("twice", items, map_options().window(64));
        std::uint64_t at = 0;
        while (auto r = co_await results.next()) {
            EXPECT_EQ(r->index, at);
            CO_ASSERT_OK(r->outcome);
            EXPECT_EQ(*r->outcome, 2 * at);
            ++at;
        }
        EXPECT_EQ(at, items.size());
        EXPECT_FALSE(co_await results.next());
        EXPECT_EQ(p.stats().succeeded, items.size());
        auto none = p.map("twice", std::vector<int>());
        EXPECT_FALSE(co_await none.next());
    });
}

TEST_F(Map, ASlowItemHoldsUpNoOtherWhenTheyAreNotOrdered) {
    auto how = mapping();
    how.calls_per_worker = 1;
    with_pool(how, [this](pool& p) -> awaitable<> {
        auto results = p.map("gate", numbers(200), map_options().window(8).ordered(false));
        std::set<std::uint64_t> seen;
        for (int i = 0; i < 199; ++i) {
            auto r = co_await results.next();
            CO_ASSERT(r);
            CO_ASSERT_OK(r->outcome);
            EXPECT_EQ(*r->outcome, r->index);
            seen.insert(r->index);
        }
        EXPECT_EQ(seen.size(), 199U);
        EXPECT_EQ(*seen.begin(), 1U);
        open_gate();
        auto last = co_await results.next();
        CO_ASSERT(last);
        EXPECT_EQ(last->index, 0U);
        EXPECT_FALSE(co_await results.next());
    });
}

TEST_F(Map, TheRangeIsReadAWindowAheadAtMost) {
    auto how = mapping();
    how.calls_per_worker = 1;
    with_pool(how, [this](pool& p) -> awaitable<> {
        int read = 0;
        auto results = p.map("gate", std::views::iota(0) | std::views::transform([&](int i) { return ++read, i; }),
                             map_options().window(16));
        EXPECT_EQ(read, 0);
        std::optional<mapped<>> first;
        asio::co_spawn(*io, [&]() -> awaitable<> { first = co_await results.next(); }, asio::detached);
        // Of the fifteen others all can be done, and none can be returned.
        CO_ASSERT(co_await comes_true([&] { return p.stats().succeeded == 15; }));
        EXPECT_EQ(read, 16);
        EXPECT_FALSE(first);
        open_gate();
        CO_ASSERT(co_await comes_true([&] { return first.has_value(); }));
        EXPECT_EQ(read, 17);
        for (std::uint64_t i = 1; i <= 100; ++i) {
            auto r = co_await results.next();
            CO_ASSERT(r);
            EXPECT_EQ(r->index, i);
            EXPECT_EQ(read, i + 17);
        }
    });
}

TEST_F(Map, ErrorsAreOfItemsAndTheMapGoesOn) {
    with_pool(mapping(), [](pool& p) -> awaitable<> {
        auto results = p.map<int>("only_even", numbers(500));
        std::uint64_t at = 0;
        while (auto r = co_await results.next()) {
            EXPECT_EQ(r->index, at);
            if (at % 2 == 0) {
                CO_ASSERT_OK(r->outcome);
                EXPECT_EQ(*r->outcome, static_cast<int>(at));
            } else {
                EXPECT_TRUE(failed_saying(r->outcome, errc::tool_raised, "is odd"));
                EXPECT_EQ(r->outcome.error().tool(), "only_even");
            }
            ++at;
        }
        EXPECT_EQ(at, 500U);

        const std::vector<value> mixed{"text", 2, "\xff", value::array({1})};
        auto typed = p.map<std::string>("twice", mixed);
        auto r = co_await typed.next();
        EXPECT_EQ(r->outcome, "texttext");
        r = co_await typed.next();
        EXPECT_TRUE(failed_with(r->outcome, errc::type_mismatch));
        EXPECT_EQ(r->outcome.error().tool(), "twice");
        r = co_await typed.next();
        EXPECT_TRUE(failed_with(r->outcome, errc::unserializable));
        EXPECT_EQ(r->index, 2U);
        r = co_await typed.next();  // a list is one argument
        EXPECT_TRUE(failed_with(r->outcome, errc::type_mismatch));
        EXPECT_FALSE(co_await typed.next());

        auto unknown = p.map("no_such_tool", numbers(3));
        for (int i = 0; i < 3; ++i) {
            auto u = co_await unknown.next();
            CO_ASSERT(u);
            EXPECT_TRUE(failed_with(u->outcome, errc::unknown_tool));
        }
        EXPECT_FALSE(co_await unknown.next());
    });
}

TEST_F(Map, ItemsCanBeAllThatExecuteTakes) {
    with_pool(options(), [](pool& p) -> awaitable<> {
        const auto items = value::parse(R"([[1, 2], {"a": 3, "b": 4}, 5])");
        const auto how = map_options().spread(true);
        auto sums = p.map<int>("add", items, how);
        auto r = co_await sums.next();
        EXPECT_EQ(r->outcome, 3);
        r = co_await sums.next();
        EXPECT_EQ(r->outcome, 7);
        r = co_await sums.next();
        EXPECT_EQ(r->outcome, 15);
    });
}

TEST_F(Map, CancellingNextEndsTheMapAndItsCalls) {
    auto how = mapping();
    how.calls_per_worker = 4;
    with_pool(how, [this](pool& p) -> awaitable<> {
        const std::vector<std::string> names{"a", "b", "c", "d", "e", "f"};
        auto results = p.map("wait_until_cancelled", names);
        asio::cancellation_signal cancel;
        bool ended = false;
        asio::co_spawn(
            *io, [&]() -> awaitable<> { ended = !co_await results.next(); },
            asio::bind_cancellation_slot(cancel.slot(), asio::detached));
        CO_ASSERT(co_await comes_true([&] { return logged("begin") == 2; }));
        cancel.emit(asio::cancellation_type::terminal);
        CO_ASSERT(co_await comes_true([&] { return ended; }));
        CO_ASSERT(co_await comes_true([&] { return logged("cancelled") == 2; }));
        EXPECT_EQ(p.stats().cancelled, 6U);
        EXPECT_FALSE(co_await results.next());
        EXPECT_EQ(logged("begin"), 2U);
    });
}

TEST_F(Map, DroppingItCancelsItsCalls) {
    auto how = mapping();
    how.workers.min = 1;
    with_pool(how, [this](pool& p) -> awaitable<> {
        {
            const std::vector<std::string> names{"a", "b", "c"};
            auto results = p.map("wait_until_cancelled", names);
            std::optional<bool> none;
            asio::co_spawn(*io, [&]() -> awaitable<> { none = !co_await results.next(); }, asio::detached);
            CO_ASSERT(co_await comes_true([&] { return logged("begin") == 1; }));
            {
                const auto gone = std::move(results);
            }
            CO_ASSERT(co_await comes_true([&] { return none.has_value(); }));
            EXPECT_TRUE(*none);
        }
        CO_ASSERT(co_await comes_true([&] { return logged("cancelled") == 1; }));
        EXPECT_EQ(p.stats().cancelled, 3U);
        EXPECT_EQ(co_await p.execute("twice", 4), value(8));
    });
}

TEST_F(Map, ASmallQueueIsWaitedOut) {
    for (const std::size_t limit : {0, 3}) {
        auto how = mapping();
        how.queue_limit = limit;
        how.calls_per_worker = 2;
        with_pool(how, [](pool& p) -> awaitable<> {
            for (const bool ordered : {true, false}) {
                auto results = p.map<int>("only_even", numbers(600), map_options().window(100).ordered(ordered));
                std::set<std::uint64_t> seen;
                while (auto r = co_await results.next()) {
                    EXPECT_TRUE(seen.insert(r->index).second);
                    if (r->index % 2 == 0) {
                        CO_ASSERT_OK(r->outcome);
                    } else {
                        EXPECT_TRUE(failed_with(r->outcome, errc::tool_raised));
                    }
                }
                EXPECT_EQ(seen.size(), 600U);
            }
        });
    }
}

TEST_F(Map, AQueueThatIsFullOfOthersIsWaitedOutAsLongAsTheTimeoutAllows) {
    auto how = mapping();
    how.queue_limit = 0;
    how.workers.min = 1;
    how.calls_per_worker = 1;
    with_pool(how, [this](pool& p) -> awaitable<> {
        auto held = std::make_shared<std::optional<result<value>>>();
        async_execute(p, "gate", 0, call_options(), [held](result<value> r) { *held = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return logged("begin gate") == 1; }));
        auto refused = p.map("twice", numbers(3), map_options().call(call_options().timeout(20ms)));
        for (int i = 0; i < 3; ++i) {
            auto r = co_await refused.next();
            CO_ASSERT(r);
            EXPECT_TRUE(failed_with(r->outcome, errc::queue_full));
        }
        EXPECT_FALSE(co_await refused.next());

        auto patient = p.map("twice", numbers(20), map_options().window(5));
        std::size_t good = 0;
        asio::co_spawn(
            *io,
            [&]() -> awaitable<> {
                while (auto r = co_await patient.next()) good += r->outcome ? 1 : 0;
            },
            asio::detached);
        const auto before = p.stats().refused;
        CO_ASSERT(co_await comes_true([&] { return p.stats().refused >= before + 7; }));
        open_gate();
        CO_ASSERT(co_await comes_true([&] { return held->has_value() && good == 20; }));
    });
}

TEST_F(Map, ADeathCostsTheOneItem) {
    with_pool(mapping(), [](pool& p) -> awaitable<> {
        const auto all = numbers(400);
        const auto items = all | std::views::transform([](int n) { return value::array({n, 123}); });
        auto results = p.map("die_at", items, map_options().spread(true));
        std::uint64_t at = 0;
        while (auto r = co_await results.next()) {
            if (at == 123) {
                EXPECT_TRUE(failed_with(r->outcome, errc::worker_lost));
            } else {
                CO_ASSERT_OK(r->outcome);
                EXPECT_EQ(*r->outcome, at);
            }
            ++at;
        }
        EXPECT_EQ(at, 400U);
    });
}

TEST_F(Map, EachItemHearsThatThePoolStops) {
    run([this]() -> awaitable<> {
        pool p(io->get_executor(), mapping());
        CO_ASSERT_OK(co_await p.start());
        auto results = p.map("twice", numbers(100), map_options().window(10));
        auto first = co_await results.next();
        CO_ASSERT(first);
        EXPECT_EQ(first->outcome, value(0));
        CO_ASSERT_OK(co_await p.stop());
        std::size_t stopped = 0, all = 1;
        while (auto r = co_await results.next()) {
            ++all;
            stopped += !r->outcome && r->outcome.error() == errc::pool_stopped ? 1 : 0;
        }
        EXPECT_EQ(all, 100U);
        EXPECT_GE(stopped, 89U);  // those that were under way were let finish

        pool fresh(io->get_executor(), mapping());
        auto early = fresh.map("twice", numbers(1));
        auto r = co_await early.next();
        EXPECT_TRUE(failed_with(r->outcome, errc::not_started));
        EXPECT_FALSE(co_await early.next());
    });
}

TEST_F(Map, ItsTimeoutIsThatOfEachCall) {
    auto how = mapping();
    how.workers.min = 1;
    with_pool(how, [](pool& p) -> awaitable<> {
        const auto each = map_options().call(call_options().timeout(50ms));
        const std::vector<double> seconds{0.0, 20.0, 0.0};
        auto results = p.map("sleep", seconds, each);
        auto r = co_await results.next();
        EXPECT_OK(r->outcome);
        r = co_await results.next();
        EXPECT_TRUE(failed_with(r->outcome, errc::deadline_exceeded));
        r = co_await results.next();
        CO_ASSERT(r);
        EXPECT_FALSE(co_await results.next());
    });
}

TEST_F(Map, TheContextMayGoWhileOneWaits) {
    std::weak_ptr<int> frames[2];
    {
        pool p(io->get_executor(), mapping());
        std::optional<map_results<>> results;
        bool came = false;
        const auto wait = [&](map_results<>& on, std::weak_ptr<int>& frame) -> awaitable<> {
            const auto kept = std::make_shared<int>();
            frame = kept;
            (void)co_await on.next();
            came = true;
        };
        asio::co_spawn(
            *io,
            [&]() -> awaitable<> {
                CO_ASSERT_OK(co_await p.start());
                results.emplace(p.map("gate", numbers(1)));
                asio::co_spawn(*io, [&]() { return wait(*results, frames[0]); }, asio::detached);
                auto own = p.map("gate", numbers(1));  // in a frame that waits for it
                co_await wait(own, frames[1]);
            },
            asio::detached);
        while (logged("begin gate") < 2) io->run_for(5ms);
        io->stop();
        EXPECT_FALSE(came);
        EXPECT_FALSE(frames[0].expired() || frames[1].expired());
        results.reset();
    }
    io.reset();
    EXPECT_TRUE(frames[0].expired() && frames[1].expired());
    io.emplace();
}

TEST_F(Map, TokensAndOtherExecutors) {
    asio::thread_pool others(2);
    with_pool(mapping(), [&](pool& p) -> awaitable<> {
        // Callbacks on threads of others, each asking for the next.
        auto numbered = std::make_shared<map_results<int>>(p.map<int>("twice", numbers(300)));
        auto sum = std::make_shared<std::promise<int>>();
        const auto strand = asio::make_strand(others);
        struct adder {
            std::shared_ptr<map_results<int>> from;
            std::shared_ptr<std::promise<int>> to;
            asio::strand<asio::thread_pool::executor_type> on;
            int sum = 0;
            void operator()(std::optional<mapped<int>> r) {
                EXPECT_TRUE(on.running_in_this_thread());
                if (!r) return to->set_value(sum);
                sum += r->outcome.value();
                auto& source = *from;
                const auto where = on;
                async_next(source, asio::bind_executor(where, std::move(*this)));
            }
        };
        auto done = sum->get_future();
        async_next(*numbered, asio::bind_executor(strand, adder{numbered, sum, strand}));
        CO_ASSERT(co_await comes_true([&] { return done.wait_for(0s) == std::future_status::ready; }));
        EXPECT_EQ(done.get(), 299 * 300);

        auto plain = p.map("twice", numbers(2));
        auto future = async_next(plain, asio::use_future);
        CO_ASSERT(co_await comes_true([&] { return future.wait_for(0s) == std::future_status::ready; }));
        EXPECT_EQ(future.get()->outcome, value(0));
    });
    others.join();
}

TEST_F(Map, ManyAtOnceOnManyThreads) {
    asio::thread_pool others(3);
    auto how = mapping();
    how.queue_limit = 40;
    how.calls_per_worker = 4;
    with_pool(
        how,
        [&](pool& p) -> awaitable<> {
            constexpr int maps = 12;
            std::atomic<int> ended = 0;
            for (int m = 0; m < maps; ++m)
                asio::co_spawn(
                    others,
                    [&, m]() -> awaitable<> {
                        const auto options =
                            map_options().window(3 + 5 * static_cast<std::size_t>(m)).ordered(m % 2 == 0);
                        auto results = p.map<int>("twice", numbers(400), options);
                        int left = m % 3 == 0 ? 150 : 1'000;  // some are dropped
                        std::set<std::uint64_t> seen;
                        while (left-- > 0) {
                            auto r = co_await results.next();
                            if (!r) break;
                            EXPECT_TRUE(seen.insert(r->index).second);
                            EXPECT_OK(r->outcome);
                            EXPECT_EQ(r->outcome.value_or(-1), 2 * static_cast<int>(r->index));
                        }
                        EXPECT_EQ(seen.size(), m % 3 == 0 ? 150U : 400U);
                        ++ended;
                    },
                    asio::detached);
            CO_ASSERT(co_await comes_true([&] { return ended == maps; }, 20s * slow));
            CO_ASSERT(co_await comes_true([&] { return p.stats().in_flight == 0 && p.stats().queued == 0; }));
        },
        60s * slow);
    others.join();
}

TEST_F(Map, HostToolsMayMap) {
    with_pool(mapping(), [](pool& p) -> awaitable<> {
        const auto offered = p.host_tools().add("map_there", [&p](int count) -> awaitable<int> {
            auto results = p.map<int>("twice", numbers(count));
            int sum = 0;
            while (auto r = co_await results.next()) sum += r->outcome.value_or(-1'000'000);
            co_return sum;
        });
        EXPECT_EQ(co_await p.call<int>("through_host", 50), 49 * 50);
    });
}

}  // namespace
}  // namespace snakepit::test
