// The chaos run's schedule: the same from the same seed, and with everything in it.

#include "stress/chaos/schedule.hpp"

#include <gtest/gtest.h>
#include <set>

namespace snakepit::chaos {
namespace {

using namespace std::chrono_literals;

bool same(const std::vector<planned>& a, const std::vector<planned>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const planned& x, const planned& y) {
        return x.at == y.at && x.what == y.what && x.who == y.who && x.amount == y.amount;
    });
}

TEST(ChaosSchedule, IsTheSameFromTheSameSeedAlone) {
    EXPECT_TRUE(same(make_schedule(1, 30s), make_schedule(1, 30s)));
    EXPECT_FALSE(same(make_schedule(1, 30s), make_schedule(2, 30s)));
}

TEST(ChaosSchedule, IsInOrderAndWithinItsTime) {
    const auto all = make_schedule(7, 30s);
    ASSERT_FALSE(all.empty());
    auto last = 0ms;
    for (const auto& p : all) {
        EXPECT_GE(p.at, last);
        EXPECT_LT(p.at, 30s);
        last = p.at;
    }
}

TEST(ChaosSchedule, DoesEverythingWithinHalfAMinuteWhateverTheSeed) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        std::set<deed> done;
        for (const auto& p : make_schedule(seed, 30s)) done.insert(p.what);
        constexpr std::size_t all = 18;  // of a few weights' one may be missing
        EXPECT_GE(done.size(), all - 1) << seed;
    }
}

}  // namespace
}  // namespace snakepit::chaos
