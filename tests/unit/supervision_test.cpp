// The small parts that decide about restarts and replacements.

#include "capsule/backoff.hpp"
#include "capsule/recycling_gate.hpp"
#include "capsule/restart_budget.hpp"
#include "process/process_facts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>
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
