#include "pool/sizing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using condition = worker_view::condition;

const worker_view::time_point start{1h};
const scaling_options how{.up_after = 50ms, .down_after = 40s};
const backlog nothing;
const backlog some{5, false};
const backlog late{5, true};

worker_view busy(std::size_t load = 1) { return {condition::serving, load, std::nullopt}; }
worker_view idle(worker_view::time_point since) { return {condition::serving, 0, since}; }
const worker_view coming{condition::coming, 0, std::nullopt};
const worker_view failing{condition::failing, 0, start};

std::vector<worker_view> all(std::size_t n, const worker_view& v) { return std::vector(n, v); }

TEST(Sizing, BringsUpWhatTheMinimumAsksForAtOnce) {
    EXPECT_EQ(size_for({5, 9}, how, {}, nothing, start).hire, 5u);
    EXPECT_EQ(size_for({5, 9}, how, {busy(), coming, failing}, nothing, start).hire, 2u);
    EXPECT_EQ(size_for({3, 9}, how, {busy(), coming, failing}, nothing, start).hire, 0u) << "theirs is the place";
}

TEST(Sizing, BringsUpOneForTheFirstCallWhenThereIsNobody) {
    EXPECT_EQ(size_for({0, 9}, how, {}, nothing, start).hire, 0u);
    EXPECT_EQ(size_for({0, 9}, how, {}, some, start).hire, 1u);
    EXPECT_EQ(size_for({0, 0}, how, {}, some, start).hire, 1u) << "no maximum is less than one";
    EXPECT_EQ(size_for({0, 9}, how, {coming}, some, start).hire, 0u);
}

TEST(Sizing, GrowsWhenCallsHaveWaitedTooLong) {
    EXPECT_EQ(size_for({1, 9}, how, {busy()}, some, start).hire, 0u) << "not yet";
    EXPECT_EQ(size_for({1, 9}, how, {busy()}, late, start).hire, 1u);
    EXPECT_EQ(size_for({1, 9}, how, all(2, busy()), late, start).hire, 2u);
    EXPECT_EQ(size_for({1, 9}, how, all(3, busy()), {1, true}, start).hire, 1u) << "one call needs no more";
    EXPECT_EQ(size_for({1, 9}, how, all(8, busy()), late, start).hire, 1u) << "the maximum";
    EXPECT_EQ(size_for({1, 9}, how, all(9, busy()), late, start).hire, 0u);
}

TEST(Sizing, NeverStorms) {
    EXPECT_EQ(size_for({1, 99}, how, {busy(), coming}, late, start).hire, 0u);
    EXPECT_EQ(size_for({1, 99}, how, {busy(), busy(), coming}, late, start).hire, 1u);
    EXPECT_EQ(size_for({1, 99}, how, {coming}, late, start).hire, 0u) << "wait for the first";
    EXPECT_EQ(size_for({1, 99}, how, {busy(), failing}, late, start).hire, 0u) << "nor while new ones fail";
    EXPECT_EQ(size_for({1, 99}, how, all(50, busy()), {500, true}, start).hire, 8u);
}

TEST(Sizing, DoublesUntilThereAreEnough) {
    std::vector<worker_view> workers{busy()};
    std::vector<std::size_t> steps;
    for (int i = 0; i < 6; ++i) {
        const auto more = size_for({1, 24}, how, workers, {1'000, true}, start).hire;
        steps.push_back(more);
        workers.insert(workers.end(), more, busy());
    }
    EXPECT_THAT(steps, ElementsAre(1, 2, 4, 8, 8, 0));
}

TEST(Sizing, SendsAwayWhoHasBeenIdleLongEnough) {
    const auto now = start + 40s;
    const std::vector workers{idle(start), busy(), idle(start), idle(start + 1s)};
    const auto plan = size_for({1, 9}, how, workers, nothing, now);
    EXPECT_THAT(plan.dismiss, ElementsAre(2, 0));
    EXPECT_EQ(plan.look_again, now + 1s) << "then it is the next one's turn";
    EXPECT_THAT(size_for({3, 9}, how, workers, nothing, now).dismiss, ElementsAre(2)) << "the minimum";
    EXPECT_THAT(size_for({1, 9}, how, {failing, idle(start)}, nothing, now).dismiss, ElementsAre(0));
    EXPECT_THAT(size_for({0, 9}, how, {idle(start)}, nothing, now).dismiss, ElementsAre(0)) << "also the last one";
}

TEST(Sizing, SendsAwayWhoIsTooManyTheLeastUsefulFirst) {
    const std::vector workers{busy(1), idle(start), busy(3), coming, failing, busy(2)};
    const auto leave = [&](int most) { return size_for({0, most}, how, workers, late, start).dismiss; };
    EXPECT_THAT(leave(5), ElementsAre(4));
    EXPECT_THAT(leave(3), ElementsAre(4, 3, 1));
    EXPECT_THAT(leave(1), ElementsAre(4, 3, 1, 0, 5)) << "the one that has most to do stays";
    EXPECT_EQ(size_for({0, 1}, how, workers, late, start).hire, 0u);
    EXPECT_THAT(size_for({2, 2}, how, all(3, idle(start)), nothing, start).dismiss, ElementsAre(2))
        << "the last that came";
}

TEST(Sizing, LooksAgainOnlyWhileSomebodyMayHaveToGo) {
    constexpr auto never = worker_view::time_point::max();
    EXPECT_EQ(size_for({2, 9}, how, {busy(), idle(start)}, nothing, start).look_again, never);
    EXPECT_EQ(size_for({0, 9}, how, {}, nothing, start).look_again, never);
    EXPECT_EQ(size_for({1, 9}, how, {busy(), busy()}, nothing, start).look_again, start + 10s);
    EXPECT_EQ(size_for({1, 9}, how, {busy(), idle(start - 35s)}, nothing, start).look_again, start + 5s);
    EXPECT_EQ(size_for({1, 9}, how, {idle(start - 60s), busy(), busy()}, nothing, start).look_again, start + 10s)
        << "who is on his way out is no reason to look at once";
}

TEST(Sizing, NamesWhatIsAllowed) {
    EXPECT_TRUE(mistakes_of({0, 0}, 1).empty());
    EXPECT_TRUE(mistakes_of({1, 0}, 0).empty());
    EXPECT_TRUE(mistakes_of({1'000, 1'000}, 1).empty());
    EXPECT_EQ(describe(mistakes_of({-1, -2}, 1)),
              "workers.min is -1, allowed: 0 to 1000; workers.max is -2, allowed: 0, or workers.min to 1000");
    EXPECT_EQ(describe(mistakes_of({1'001, 0}, 1)), "workers.min is 1001, allowed: 0 to 1000");
    EXPECT_EQ(mistakes_of({-1, -1}, 1).size(), 2u) << "each for itself";
    EXPECT_EQ(describe(mistakes_of({3, 2}, 1)), "workers.max is 2, allowed: 0, or workers.min to 1000");
    EXPECT_EQ(describe(mistakes_of({0, 5}, 0)),
              "workers.min is 0, allowed: 1 to 1000 when queue_limit is 0: without a queue no call could wait for the "
              "first worker");
}

}  // namespace
}  // namespace snakepit::detail
