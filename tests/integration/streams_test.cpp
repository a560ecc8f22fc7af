// Streams: what Python yields while it runs, and what it is sent to read.

#include "support/pool_fixture.hpp"

#include <snakepit/host_tools.hpp>

#include <unistd.h>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/detached.hpp>
#include <cctype>
#include <csignal>
#include <fstream>
#include <sstream>
#include <tuple>

namespace snakepit::test {
namespace {

class Streams : public PoolTest, public testing::WithParamInterface<std::tuple<worker_profile, lane_kind>> {
protected:
    [[nodiscard]] pool_options streaming(int workers = 1) const {
        auto o = options("streamers");
        std::tie(o.profile, o.lane) = GetParam();
        o.workers.min = workers;
        return o;
    }
    /// A file in which a tool says something; NAME.end appears when its `finally` has run.
    [[nodiscard]] std::string note() const { return (scratch().path() / "note").string(); }
    [[nodiscard]] auto is_there(const std::string& ending = "") const {
        return [path = note() + ending] { return fs::exists(path); };
    }
};
INSTANTIATE_TEST_SUITE_P(Profile, Streams,
                         testing::Combine(testing::Values(worker_profile::process, worker_profile::thread,
                                                          worker_profile::async),
                                          testing::ValuesIn(lanes())),
                         [](const auto& how) {
                             const auto profile = std::get<0>(how.param);
                             const auto lane = std::get<1>(how.param);
                             return std::string(profile == worker_profile::process  ? "Process"
                                                : profile == worker_profile::thread ? "Thread"
                                                                                    : "Async") +
                                    (lane == lane_kind::direct ? "Direct" : "Iterator");
                         });

/// All items, as a list.
awaitable<value> items_of(stream& s) {
    value all = value::array();
    while (auto item = co_await s.next()) all.push_back(std::move(*item));
    co_return all;
}

value up_to(int n) {
    value all = value::array();
    for (int i = 0; i < n; ++i) all.push_back(i);
    return all;
}

std::size_t resident_bytes() {
    std::size_t size = 0;
    std::size_t resident = 0;
    std::istringstream(file_text("/proc/self/statm")) >> size >> resident;
    return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

/// As wait_for a condition that becomes true in another process, and then no more for a while.
awaitable<std::string> settled_text(fs::path file) {
    std::string before;
    for (int same = 0; same < 20;) {
        co_await wait_for(10ms);
        auto now = file_text(file);
        same = !now.empty() && now == before ? same + 1 : 0;
        before = std::move(now);
    }
    co_return before;
}

TEST_P(Streams, YieldItemsAndReturnAValue) {
    with_pool(streaming(), [](pool& p) -> awaitable<> {
        for (const int n : {0, 1, 3, 5'000}) {
            auto s = co_await p.stream("count", n);
            const value all = co_await items_of(s);
            EXPECT_EQ(all, up_to(n));
            const auto end = co_await s.result();
            CO_ASSERT_OK(end);
            EXPECT_EQ((*end)["counted"], n);
        }
        auto s = co_await p.stream("count_async", 100);
        const value all = co_await items_of(s);
        EXPECT_EQ(all, up_to(100));
        EXPECT_EQ((co_await s.result()), nullptr);
    });
}

TEST_P(Streams, ArriveWhileTheToolGoesOn) {
    with_pool(streaming(), [this](pool& p) -> awaitable<> {
        for (const char* tool : {"forever", "forever_async"}) {
            fs::remove(note());
            fs::remove(note() + ".end");
            auto s = co_await p.stream(tool, list(note(), 3));
            for (int i = 0; i < 3; ++i) EXPECT_EQ((co_await s.next()), i);
            CO_ASSERT(co_await comes_true(is_there()));
            s.cancel();
            EXPECT_EQ((co_await s.next()), std::nullopt);
            EXPECT_TRUE(failed_with(co_await s.result(), errc::cancelled));
            CO_ASSERT(co_await comes_true(is_there(".end")));
            EXPECT_EQ((co_await p.execute("echo", 1)), 1);
        }
        EXPECT_EQ(p.stats().workers[0].restarts, 0U);
    });
}

TEST_P(Streams, ItemsDoNotWaitForAToolThatComputes) {
    with_pool(streaming(), [this](pool& p) -> awaitable<> {
        auto s = co_await p.stream("spin_after", list(note(), 100));
        for (int i = 0; i < 100; ++i) EXPECT_EQ((co_await s.next()), i);
        std::ofstream(note()) << "go";
        EXPECT_EQ((co_await s.result()), "went on");
    });
}

TEST_P(Streams, LargeItemsKeepTheirPlaceAmongSmallOnes) {
    with_pool(streaming(), [](pool& p) -> awaitable<> {
        const value sizes = {1, 1'000'000, 2,      200'000, 100'000, 3,      3'000'000,
                             0, 130'000,   60'000, 60'000,  60'000,  60'000, 7};
        const value arguments = list(sizes);
        auto s = co_await p.stream("sizes", arguments);
        for (const auto& size : sizes) {
            const auto item = co_await s.next();
            CO_ASSERT(item);
            EXPECT_EQ(item->get<std::string>(), std::string(size.get<std::size_t>(), 'x'));
        }
        EXPECT_EQ((co_await s.next()), std::nullopt);
        EXPECT_OK(co_await s.result());
    });
}

TEST_P(Streams, AnErrorComesBehindTheItemsBeforeIt) {
    with_pool(streaming(), [](pool& p) -> awaitable<> {
        auto s = co_await p.stream("fails_after", 700);
        const value all = co_await items_of(s);
        EXPECT_EQ(all, up_to(700));
        const auto end = co_await s.result();
        EXPECT_TRUE(failed_saying(end, errc::tool_raised, "ValueError: enough"));
        EXPECT_TRUE(failed_with(co_await s.result(), errc::stream_ended));

        auto bad = co_await p.stream("yields_a_set");
        EXPECT_EQ((co_await bad.next()), 1);
        EXPECT_EQ((co_await bad.next()), std::nullopt);
        EXPECT_TRUE(failed_saying(co_await bad.result(), errc::unserializable, "item: set"));
    });
}

TEST_P(Streams, TheResultAloneDropsTheItems) {
    with_pool(streaming(), [](pool& p) -> awaitable<> {
        auto s = co_await p.stream("count", 50'000);  // more than the credit
        const auto end = co_await s.result();
        CO_ASSERT_OK(end);
        EXPECT_EQ((*end)["counted"], 50'000);
    });
}

TEST_P(Streams, PlainToolsHaveAResultAndNoItems) {
    with_pool(streaming(), [](pool& p) -> awaitable<> {
        auto s = co_await p.stream("echo", "x");
        EXPECT_EQ((co_await s.next()), std::nullopt);
        EXPECT_EQ((co_await s.result()), "x");
        auto sent_to = co_await p.stream("echo", "x");
        EXPECT_TRUE(failed_saying(co_await sent_to.send(1), errc::bad_arguments, "takes no input"));
    });
}

TEST_P(Streams, WrongUseIsToldApart) {
    with_pool(streaming(), [](pool& p) -> awaitable<> {
        EXPECT_TRUE(failed_saying(co_await p.execute("count", 3), errc::bad_arguments, "pool.stream"));
        EXPECT_TRUE(failed_saying(co_await p.execute("total", 3), errc::bad_arguments, "pool.stream"));
        auto unknown = co_await p.stream("cuont", 3);
        EXPECT_EQ((co_await unknown.next()), std::nullopt);
        EXPECT_TRUE(failed_saying(co_await unknown.result(), errc::unknown_tool, "count"));
        auto bad = co_await p.stream("count", "a text");
        EXPECT_TRUE(failed_with(co_await bad.result(), errc::tool_raised));
        auto many = co_await p.stream("count", list(1, 2, 3));
        EXPECT_TRUE(failed_with(co_await many.result(), errc::bad_arguments));

        auto s = co_await p.stream("total", 1);
        const value no_text = std::string("\xff");
        EXPECT_TRUE(failed_with(co_await s.send(no_text), errc::unserializable));
        EXPECT_OK(co_await s.send(2));
        EXPECT_OK(co_await s.finish());
        EXPECT_TRUE(failed_with(co_await s.send(3), errc::stream_ended));
        EXPECT_TRUE(failed_with(co_await s.finish(), errc::stream_ended));
        EXPECT_EQ((co_await s.result()), 3);
        EXPECT_TRUE(failed_with(co_await s.send(3), errc::stream_ended));
    });
}

TEST_P(Streams, ASlowReaderStopsTheTool) {
    with_pool(streaming(), [this](pool& p) -> awaitable<> {
        const auto worker = co_await p.call<std::size_t>("memory");
        CO_ASSERT_OK(worker);
        const auto host = resident_bytes();
        constexpr std::size_t total = std::size_t{1} << 30;
        auto s = co_await p.stream("flood", list(note(), total, 10'000));
        CO_ASSERT(co_await s.next());
        const auto stopped_at = co_await settled_text(note());  // it waits
        EXPECT_LT(std::stoull(stopped_at), std::size_t{4} << 20);
        constexpr std::size_t most = std::size_t{32} << 20;
        EXPECT_LT(resident_bytes(), host + most);
        std::size_t of_worker = 0;
        std::size_t size = 0;
        const auto pid = p.stats().workers[0].pid;
        std::istringstream(file_text(fs::path("/proc") / std::to_string(pid) / "statm")) >> size >> of_worker;
        EXPECT_LT(of_worker * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), *worker + most);

        for (int i = 0; i < 500; ++i) CO_ASSERT(co_await s.next());  // it goes on
        s.cancel();                                                  // it waits for credit once more
        CO_ASSERT(co_await comes_true(is_there(".end")));
        EXPECT_EQ((co_await p.execute("echo", 1)), 1);
        EXPECT_EQ(p.stats().workers[0].restarts, 0U);
    });
}

TEST_P(Streams, DroppingOneFreesItsWorker) {
    with_pool(streaming(), [this](pool& p) -> awaitable<> {
        {
            auto s = co_await p.stream("forever", list(note(), 1));
            CO_ASSERT(co_await s.next());
        }
        EXPECT_EQ((co_await p.execute("echo", 1)), 1);
        CO_ASSERT(co_await comes_true(is_there(".end")));
        EXPECT_EQ(p.stats().workers[0].restarts, 0U);
    });
}

TEST_P(Streams, CancellingTheReadingCancelsTheCall) {
    with_pool(streaming(), [this](pool& p) -> awaitable<> {
        auto s = co_await p.stream("forever", list(note(), 0));
        asio::cancellation_signal stop;
        std::optional<std::optional<value>> got;
        auto read = [&]() -> awaitable<> { got = co_await s.next(); };
        asio::co_spawn(co_await asio::this_coro::executor, read(),
                       asio::bind_cancellation_slot(stop.slot(), asio::detached));
        CO_ASSERT(co_await comes_true(is_there()));
        EXPECT_FALSE(got);
        stop.emit(asio::cancellation_type::terminal);
        CO_ASSERT(co_await comes_true([&] { return got.has_value(); }));
        EXPECT_FALSE(*got);
        EXPECT_TRUE(failed_with(co_await s.result(), errc::cancelled));
        CO_ASSERT(co_await comes_true(is_there(".end")));
    });
}

TEST_P(Streams, ADeadlineIsForAllOfIt) {
    with_pool(streaming(), [this](pool& p) -> awaitable<> {
        // Time enough for the items, however slow the machine is.
        value all;
        for (auto time = 300ms * slow; all != up_to(2); time *= 2) {
            CO_ASSERT(time < 10s * slow);
            const auto soon = call_options().timeout(time);
            auto s = co_await p.stream("forever", list(note(), 2), soon);
            all = co_await items_of(s);
            EXPECT_TRUE(failed_with(co_await s.result(), errc::deadline_exceeded));
        }
        CO_ASSERT(co_await comes_true(is_there(".end")));
    });
}

TEST_P(Streams, AWorkersDeathEndsItBehindItsItems) {
    with_pool(streaming(), [](pool& p) -> awaitable<> {
        auto s = co_await p.stream("die_after", 300);
        const value all = co_await items_of(s);
        EXPECT_EQ(all, up_to(300));
        const auto end = co_await s.result();
        EXPECT_TRUE(failed_with(end, errc::worker_lost));
        CO_ASSERT(!end && end.error().exit());
        EXPECT_EQ(end.error().exit()->signal, SIGKILL);
        EXPECT_EQ((co_await p.execute("echo", 1)), 1);
    });
}

TEST_P(Streams, OneIsRunAgainUntilAnItemHasCome) {
    with_pool(streaming(), [this](pool& p) -> awaitable<> {
        auto unseen = co_await p.stream("die_once", list(note(), false));
        EXPECT_EQ((co_await unseen.next()), 1);
        EXPECT_OK(co_await unseen.result());
        fs::remove(note());
        auto seen = co_await p.stream("die_once", list(note(), true));
        EXPECT_EQ((co_await seen.next()), 0);
        EXPECT_EQ((co_await seen.next()), std::nullopt);
        EXPECT_TRUE(failed_with(co_await seen.result(), errc::worker_lost));
    });
}

TEST_P(Streams, TheyQueueAsCallsDo) {
    with_pool(streaming(2), [](pool& p) -> awaitable<> {
        std::vector<stream> all;
        for (int i = 0; i < 20; ++i) all.push_back(co_await p.stream("count", list(50, 0.001)));
        for (auto& s : all) {
            const value items = co_await items_of(s);
            EXPECT_EQ(items, up_to(50));
            EXPECT_OK(co_await s.result());
        }
    });
}

TEST_P(Streams, InputReachesEveryKindOfTool) {
    with_pool(streaming(), [](pool& p) -> awaitable<> {
        for (const char* tool : {"total", "total_async"}) {
            auto sum = co_await p.stream(tool, 100);
            for (int i = 1; i <= 1'000; ++i) CO_ASSERT_OK(co_await sum.send(i));
            EXPECT_OK(co_await sum.finish());
            EXPECT_EQ((co_await sum.result()), 100 + 500'500);
        }

        auto none = co_await p.stream("total", 5);
        EXPECT_OK(co_await none.finish());
        EXPECT_EQ((co_await none.result()), 5);

        auto some = co_await p.stream("first_of", 2);
        for (int i = 0; i < 3; ++i) CO_ASSERT_OK(co_await some.send(i));
        EXPECT_EQ((co_await some.result()), up_to(2));  // it does not read to the end

        for (const char* tool : {"shout", "shout_async"}) {
            auto s = co_await p.stream(tool);
            const std::string mark = std::string(tool) == "shout" ? "!" : "";
            for (const std::string line : {"a", "b", "c"}) {
                CO_ASSERT_OK(co_await s.send(line));
                const auto loud = co_await s.next();
                CO_ASSERT(loud);
                EXPECT_EQ(loud->get<std::string>(), static_cast<char>(std::toupper(line[0])) + mark);
            }
            EXPECT_OK(co_await s.finish());
            EXPECT_EQ((co_await s.next()), std::nullopt);
            EXPECT_OK(co_await s.result());
        }
    });
}

TEST_P(Streams, BothWaysAtOnceWithBackPressure) {
    with_pool(streaming(), [](pool& p) -> awaitable<> {
        auto s = co_await p.stream("mirror");
        constexpr int many = 300;
        const auto text = [](int i) {
            return std::string(i % 50 == 0 ? 700'000 : static_cast<std::size_t>(i) * 100,
                               static_cast<char>('a' + i % 26));
        };
        auto feed = [&]() -> awaitable<> {
            for (int i = 0; i < many; ++i) {
                const value item = text(i);
                CO_ASSERT_OK(co_await s.send(item));
            }
            EXPECT_OK(co_await s.finish());
        };
        bool fed = false;
        asio::co_spawn(co_await asio::this_coro::executor, feed(), [&](std::exception_ptr) { fed = true; });
        co_await wait_for(50ms);
        EXPECT_FALSE(fed);  // nobody reads
        for (int i = 0; i < many; ++i) {
            const auto item = co_await s.next();
            CO_ASSERT(item);
            EXPECT_TRUE(*item == text(i)) << i;
        }
        EXPECT_EQ((co_await s.next()), std::nullopt);
        EXPECT_OK(co_await s.result());
        EXPECT_TRUE(fed);
    });
}

TEST_P(Streams, ASlowToolStopsTheSender) {
    with_pool(streaming(), [this](pool& p) -> awaitable<> {
        auto s = co_await p.stream("swallow", note());
        const value text = std::string(10'000, 'x');
        int sent = 0;
        bool done = false;
        auto feed = [&]() -> awaitable<> {
            for (; sent < 1'000; ++sent) CO_ASSERT_OK(co_await s.send(text));
            EXPECT_OK(co_await s.finish());
            done = true;
        };
        asio::co_spawn(co_await asio::this_coro::executor, feed(), asio::detached);
        CO_ASSERT(co_await comes_true(is_there()));
        co_await wait_for(50ms);
        EXPECT_LT(sent, 250);
        std::ofstream(note() + ".go") << "go";
        EXPECT_EQ((co_await s.result()), 1'000 * 10'000);
        EXPECT_TRUE(done);
    });
}

TEST_P(Streams, AToolThatWaitsForInputCanBeCancelled) {
    with_pool(streaming(), [this](pool& p) -> awaitable<> {
        {
            auto s = co_await p.stream("waits_for_input", note());
            CO_ASSERT_OK(co_await s.send(1));
            CO_ASSERT(co_await comes_true(is_there()));
        }
        CO_ASSERT(co_await comes_true(is_there(".end")));
        EXPECT_EQ((co_await p.execute("echo", 1)), 1);
        EXPECT_EQ(p.stats().workers[0].restarts, 0U);
    });
}

TEST_P(Streams, UseSessionsAndHostTools) {
    with_pool(streaming(), [](pool& p) -> awaitable<> {
        auto tools = p.host_tools();
        EXPECT_OK(tools.add("twice", [](int n) { return 2 * n; }));
        const auto in_session = call_options().session("s");
        for (int round = 0; round < 3; ++round) {
            auto s = co_await p.stream("remembers", 20, in_session);
            for (int i = 0; i < 20; ++i) {
                const auto item = co_await s.next();
                CO_ASSERT(item);
                EXPECT_EQ((*item)[0], i);
                EXPECT_EQ((*item)[1], 2 * i);
            }
            EXPECT_OK(co_await s.result());
        }
    });
}

TEST_P(Streams, EndWithThePool) {
    std::optional<stream> s;
    auto how = streaming();
    how.drain_timeout = 100ms;
    with_pool(how, [&](pool& p) -> awaitable<> {
        s.emplace(co_await p.stream("forever", list(note(), 1)));
        CO_ASSERT(co_await s->next());
    });
    EXPECT_TRUE(is_there(".end")());
    run([&]() -> awaitable<> {
        EXPECT_EQ((co_await s->next()), std::nullopt);
        const auto end = co_await s->result();
        EXPECT_FALSE(end);
        s.reset();
    });
}

TEST_P(Streams, HaveTokenForms) {
    with_pool(streaming(), [](pool& p) -> awaitable<> {
        auto s = open_stream(p, "shout");
        EXPECT_OK(co_await async_send(s, "a", asio::use_awaitable));
        EXPECT_EQ((co_await async_next(s, asio::use_awaitable)), "A!");
        EXPECT_OK(co_await s.finish());
        EXPECT_EQ((co_await async_result(s, asio::use_awaitable)), "done");
    });
}

}  // namespace
}  // namespace snakepit::test
