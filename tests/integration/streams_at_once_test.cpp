// Several streams at once in one worker: none holds up another.

#include "support/pool_fixture.hpp"

#include <asio/detached.hpp>
#include <tuple>

namespace snakepit::test {
namespace {

class StreamsAtOnce : public PoolTest, public testing::WithParamInterface<std::tuple<worker_profile, lane_kind>> {
protected:
    static constexpr int width = 8;

    [[nodiscard]] pool_options one_worker() const {
        auto o = options("streamers");
        std::tie(o.profile, o.lane) = GetParam();
        o.threads_per_worker = width;
        o.max_concurrency = is_async() ? 10 * width : width;
        o.workers.min = 1;
        return o;
    }
    [[nodiscard]] bool is_async() const { return std::get<0>(GetParam()) == worker_profile::async; }
    /// The tools of this name that the profile has: plain functions run in threads in both.
    [[nodiscard]] static std::vector<std::string> both(const std::string& name) { return {name, name + "_async"}; }
    [[nodiscard]] std::string note(const std::string& name) const { return (scratch().path() / name).string(); }
    [[nodiscard]] static auto is_there(const std::string& path) {
        return [path] { return fs::exists(path); };
    }
};
INSTANTIATE_TEST_SUITE_P(Profile, StreamsAtOnce,
                         testing::Combine(testing::Values(worker_profile::thread, worker_profile::async),
                                          testing::ValuesIn(lanes())),
                         [](const auto& how) {
                             const auto profile = std::get<0>(how.param);
                             const auto lane = std::get<1>(how.param);
                             return std::string(profile == worker_profile::thread ? "Thread" : "Async") +
                                    (lane == lane_kind::direct ? "Direct" : "Iterator");
                         });

constexpr std::size_t endless = std::size_t{1} << 40;

/// Counts what comes in order, from 0.
awaitable<int> counted(stream& s) {
    int n = 0;
    while (const auto item = co_await s.next()) {
        if (*item != n) break;
        ++n;
    }
    co_return n;
}

TEST_P(StreamsAtOnce, OneThatNobodyReadsHoldsUpNobody) {
    with_pool(one_worker(), [this](pool& p) -> awaitable<> {
        for (const auto& flood : both("flood")) {
            auto unread = co_await p.stream(flood, list(note(flood), endless, 10'000));
            CO_ASSERT(co_await unread.next());
            for (const auto& count : both("count")) {
                auto s = co_await p.stream(count, 50'000);  // several windows
                EXPECT_EQ((co_await counted(s)), 50'000);
                EXPECT_OK(co_await s.result());
            }
            EXPECT_EQ((co_await p.execute("echo", 1)), 1);
            std::string stopped_at;  // empty while it is being written
            CO_ASSERT(co_await comes_true([&] { return !(stopped_at = file_text(note(flood))).empty(); }));
            EXPECT_LT(std::stoull(stopped_at), std::size_t{4} << 20);
            for (int i = 0; i < 500; ++i) CO_ASSERT(co_await unread.next());  // it goes on
            unread.cancel();
            CO_ASSERT(co_await comes_true(is_there(note(flood) + ".end")));
        }
        EXPECT_EQ(p.stats().workers[0].restarts, 0U) << p.stats().workers[0].last_exit;
    });
}

TEST_P(StreamsAtOnce, ManyGoOnBesideEachOther) {
    with_pool(one_worker(), [this](pool& p) -> awaitable<> {
        for (const auto& meet : both("meet")) {
            auto unread = co_await p.stream("flood" + meet.substr(4), list(note(meet), endless, 10'000));
            CO_ASSERT(co_await unread.next());
            const int many = (is_async() ? 10 * width : width) - 1;
            std::vector<stream> all;
            for (int i = 0; i < many; ++i) all.push_back(co_await p.stream(meet, list(meet, many)));
            for (auto& s : all) EXPECT_EQ((co_await s.next()), "here");
            for (auto& s : all) EXPECT_EQ((co_await s.next()), "all");
            for (auto& s : all) EXPECT_OK(co_await s.result());
        }
    });
}

TEST_P(StreamsAtOnce, ManyFillManyWindowsAtOnce) {
    with_pool(one_worker(), [this](pool& p) -> awaitable<> {
        auto unread = co_await p.stream("flood_async", list(note("unread"), endless, 10'000));
        CO_ASSERT(co_await unread.next());
        constexpr int many = width - 1;
        int done = 0;
        auto read = [&](std::string tool) -> awaitable<> {
            auto s = co_await p.stream(tool, 30'000);
            EXPECT_EQ((co_await counted(s)), 30'000);
            EXPECT_OK(co_await s.result());
            ++done;
        };
        for (int i = 0; i < many; ++i)
            asio::co_spawn(co_await asio::this_coro::executor, read(i % 2 == 0 ? "count" : "count_async"),
                           asio::detached);
        CO_ASSERT(co_await comes_true([&] { return done == many; }, 20s * slow));
    });
}

TEST_P(StreamsAtOnce, CancellingOneLeavesTheOther) {
    with_pool(one_worker(), [this](pool& p) -> awaitable<> {
        for (const char* kind : {"", "_async"}) {
            const std::string forever = std::string("forever") + kind;
            const auto one = note(forever);
            auto cancelled = co_await p.stream(forever, list(one, 1));
            auto goes_on = co_await p.stream(std::string("mirror") + kind);
            auto waits = co_await p.stream(std::string("waits_for_input") + kind, one + ".input");
            auto floods = co_await p.stream(std::string("flood") + kind, list(one + ".flood", endless, 10'000));
            CO_ASSERT(co_await cancelled.next());
            CO_ASSERT(co_await floods.next());
            CO_ASSERT_OK(co_await goes_on.send("a"));
            EXPECT_EQ((co_await goes_on.next()), "a");
            CO_ASSERT(co_await comes_true(is_there(one + ".input")));
            for (stream* s : {&cancelled, &waits, &floods}) s->cancel();
            for (const char* name : {"", ".input", ".flood"})
                CO_ASSERT(co_await comes_true(is_there(one + name + ".end")));
            CO_ASSERT_OK(co_await goes_on.send("b"));
            EXPECT_EQ((co_await goes_on.next()), "b");
            EXPECT_OK(co_await goes_on.finish());
            EXPECT_EQ((co_await goes_on.next()), std::nullopt);
            EXPECT_OK(co_await goes_on.result());
        }
        EXPECT_EQ(p.stats().workers[0].restarts, 0U) << p.stats().workers[0].last_exit;
    });
}

TEST_P(StreamsAtOnce, ManyAreDroppedAtAnyMoment) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        int done = 0;
        auto drop_some = [&](int seed) -> awaitable<> {
            for (int round = 0; round < 40; ++round) {
                const int how = seed + round;
                const value many = 20'000;
                const value nothing = value::array();
                const char* tool = how % 3 == 0 ? "count" : how % 3 == 1 ? "count_async" : "mirror";
                auto s = co_await p.stream(tool, how % 3 == 2 ? nothing : many);
                if (how % 3 == 2) CO_ASSERT_OK(co_await s.send(1));
                for (int n = how * 37 % 500; n-- > 0 && how % 3 != 2;) CO_ASSERT(co_await s.next());
            }
            ++done;
        };
        constexpr int several = 4;
        for (int seed = 0; seed < several; ++seed)
            asio::co_spawn(co_await asio::this_coro::executor, drop_some(seed * 1'000), asio::detached);
        CO_ASSERT(co_await comes_true([&] { return done == several; }, 20s * slow));
        for (const char* count : {"count", "count_async"}) {
            auto s = co_await p.stream(count, 50'000);
            EXPECT_EQ((co_await counted(s)), 50'000);
            EXPECT_OK(co_await s.result());
        }
        EXPECT_EQ(p.stats().workers[0].restarts, 0U) << p.stats().workers[0].last_exit;
    });
}

TEST_P(StreamsAtOnce, InputIsAwaitedBesideOtherTasks) {
    with_pool(one_worker(), [this](pool& p) -> awaitable<> {
        std::vector<stream> all;
        for (int i = 0; i < width; ++i) all.push_back(co_await p.stream("total_async", i));
        for (int round = 0; round < 100; ++round)
            for (std::size_t i = all.size(); i-- > 0;) CO_ASSERT_OK(co_await all[i].send(round));
        for (std::size_t i = all.size(); i-- > 0;) {
            EXPECT_OK(co_await all[i].finish());
            EXPECT_EQ((co_await all[i].result()), static_cast<int>(i) + 4'950);
        }
        auto plain = co_await p.stream("total_held_up", 1);
        EXPECT_OK(co_await plain.send(2));
        EXPECT_OK(co_await plain.finish());
        const auto end = co_await plain.result();
        if (is_async()) EXPECT_TRUE(failed_saying(end, errc::tool_raised, "RuntimeError", "async for"));
        else EXPECT_EQ(end, 3);
    });
}

TEST_P(StreamsAtOnce, BothWaysAtOnceWithBackPressure) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        auto s = co_await p.stream("mirror_async");
        constexpr int many = 300;
        bool fed = false;
        auto feed = [&]() -> awaitable<> {
            const value text = std::string(20'000, 'x');
            for (int i = 0; i < many; ++i) CO_ASSERT_OK(co_await s.send(text));
            EXPECT_OK(co_await s.finish());
            fed = true;
        };
        asio::co_spawn(co_await asio::this_coro::executor, feed(), asio::detached);
        CO_ASSERT(co_await s.next());
        EXPECT_EQ((co_await p.execute("echo", 1)), 1);
        EXPECT_FALSE(fed);  // nobody reads
        int got = 1;
        while (co_await s.next()) ++got;
        EXPECT_EQ(got, many);
        EXPECT_OK(co_await s.result());
        EXPECT_TRUE(fed);
    });
}

TEST_P(StreamsAtOnce, TheMainThreadHasStreamsToo) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        auto one = co_await p.stream("count_on_main", 50'000);
        auto other = co_await p.stream("count", 50'000);
        EXPECT_EQ((co_await counted(other)), 50'000);
        EXPECT_EQ((co_await counted(one)), 50'000);
    });
}

TEST_P(StreamsAtOnce, AWorkersDeathEndsAllBehindTheirItems) {
    with_pool(one_worker(), [this](pool& p) -> awaitable<> {
        std::vector<stream> all;
        for (const auto& forever : both("forever")) all.push_back(co_await p.stream(forever, list(note(forever), 3)));
        for (const auto& forever : both("forever")) CO_ASSERT(co_await comes_true(is_there(note(forever))));
        all.push_back(co_await p.stream("die_after", 3));
        for (auto& s : all) {
            EXPECT_EQ((co_await counted(s)), 3);
            EXPECT_TRUE(failed_with(co_await s.result(), errc::worker_lost));
        }
    });
}

}  // namespace
}  // namespace snakepit::test
