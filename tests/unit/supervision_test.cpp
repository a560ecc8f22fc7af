// The small parts that decide about restarts and replacements.

#include "capsule/backoff.hpp"
#include "capsule/lifecycle.hpp"
#include "capsule/recycling_gate.hpp"
#include "capsule/restart_budget.hpp"
#include "process/process_facts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>
#include <algorithm>
#include <asio/io_context.hpp>
#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;

TEST(RestartBudget, AllowsSoManyWithinItsWindow) {
    restart_budget budget(2, 10s);
    const restart_budget::clock::time_point start;
    EXPECT_TRUE(budget.take(start));
    EXPECT_TRUE(budget.take(start + 4s));
    EXPECT_FALSE(budget.take(start + 9s));
    EXPECT_TRUE(budget.take(start + 10s)) << "the first is forgotten";
    EXPECT_FALSE(budget.take(start + 13s));
    EXPECT_TRUE(budget.take(start + 14s)) << "what was refused does not count";
}

TEST(RecyclingGate, GivesTurnsInTheOrderInWhichTheyWereAskedFor) {
    recycling_gate gate(2);
    std::vector<int> turns;
    for (int i = 0; i < 4; ++i) gate.enter([&turns, i] { turns.push_back(i); });
    EXPECT_THAT(turns, ::testing::ElementsAre(0, 1));
    gate.leave();
    EXPECT_THAT(turns, ::testing::ElementsAre(0, 1, 2));
    gate.leave();
    gate.leave();
    gate.leave();
    gate.enter([&turns] { turns.push_back(9); });
    EXPECT_THAT(turns, ::testing::ElementsAre(0, 1, 2, 3, 9));
}

TEST(Backoff, DoublesUpToItsLimitWithJitterAndBeginsAnewAfterALongLife) {
    backoff pauses(100ms, 400ms);
    for (const auto expected : {100ms, 200ms, 400ms, 400ms}) {
        const auto pause = pauses.after(0ms);
        EXPECT_GE(pause, expected * 3 / 4);
        EXPECT_LE(pause, expected * 5 / 4);
    }
    EXPECT_LE(pauses.after(400ms), 125ms);
}

class Lifecycle : public ::testing::Test {
protected:
    [[nodiscard]] std::shared_ptr<lifecycle> with(const lifecycle_options& how, std::uint64_t baseline = 0) {
        return std::make_shared<lifecycle>(asio::make_strand(io_.get_executor()), how, baseline,
                                           [this](recycle_reason why) { told_.push_back(why); });
    }
    /// What was told since the last time.
    std::vector<recycle_reason> told() { return std::exchange(told_, {}); }

private:
    asio::io_context io_;
    std::vector<recycle_reason> told_;
};

TEST_F(Lifecycle, ShortensItsLimitsByChanceSoThatWorkersDoNotWearOutInStep) {
    lifecycle_options how;
    how.max_calls = 1'000;
    how.jitter = 0.1;
    std::vector<std::uint64_t> limits;
    for (int i = 0; i < 1'000; ++i) limits.push_back(with(how)->max_calls());
    const auto [least, most] = std::ranges::minmax(limits);
    EXPECT_GE(least, 900u);
    EXPECT_LE(most, 1'000u) << "a limit is one";
    EXPECT_GT(most - least, 50u);
    how.jitter = 0;
    EXPECT_EQ(with(how)->max_calls(), 1'000u);
    how.jitter = 0.5;
    how.max_calls = 1;
    EXPECT_EQ(with(how)->max_calls(), 1u) << "0 would be no limit";
    how.max_calls = 0;
    EXPECT_EQ(with(how)->max_calls(), 0u);
}

TEST_F(Lifecycle, TellsAtEachPongWhichLimitIsExceeded) {
    using ::testing::ElementsAre;
    lifecycle_options how;
    how.jitter = 0.1;
    how.max_memory_bytes = 1'000;  // the same for all, so that it can be compared with what a fresh worker has
    how.max_memory_growth_bytes = 100;
    how.max_latency = 5ms;
    const auto one = with(how, 800);
    one->pong(800 + 90, 5ms);
    EXPECT_THAT(told(), ElementsAre());
    one->pong(901, 0ms);
    one->pong(1'000, 0ms);
    EXPECT_THAT(told(), ElementsAre(recycle_reason::memory_growth, recycle_reason::memory_growth));
    one->pong(1'001, 0ms);
    EXPECT_THAT(told(), ElementsAre(recycle_reason::memory));
    for (int times : {7, 8}) {  // in a row
        while (times-- > 0) one->pong(800, 6ms);
        one->pong(800, 5ms);
    }
    EXPECT_THAT(told(), ElementsAre(recycle_reason::latency));
    one->served();
    one->pong(800, 0ms);
    EXPECT_THAT(told(), ElementsAre(recycle_reason::calls, recycle_reason::calls)) << "the successor may fail";
}

TEST(ProcessFacts, AreThoseOfTheKernel) {
    const auto before = facts_of(::getpid());
    ASSERT_TRUE(before);
    EXPECT_EQ(before->state, 'R');
    EXPECT_FALSE(before->is_stopped());
    volatile unsigned work = 0;
    while (facts_of(::getpid())->cpu < before->cpu + 20ms)
        for (int i = 0; i < 1'000'000; ++i) work = work + 1;
    EXPECT_FALSE(facts_of(0x7FFFFFFF));
}

}  // namespace
}  // namespace snakepit::detail
