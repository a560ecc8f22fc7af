// What judges the maps of the chaos run: that it finds each kind of violation, and none in a good history.

#include "stress/chaos/map_checker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace snakepit::chaos {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ChaosMaps : public testing::Test {
protected:
    /// Four items, four results, the end.
    map_record& mapped_all() {
        auto& m = all.emplace_back();
        m.tool = "nap";
        m.window = 2;
        m.items = m.given = 4;
        m.most_ahead = 2;
        m.came = {0, 1, 2, 3};
        m.has_ended = true;
        return m;
    }
    [[nodiscard]] std::vector<fault> verdict() const { return faults_of(check_maps(all)); }

    std::deque<map_record> all;
};

TEST_F(ChaosMaps, FindsNothingInAGoodHistory) {
    mapped_all();
    auto& in_any_order = mapped_all();
    in_any_order.is_ordered = false;
    in_any_order.came = {1, 0, 3, 2};
    auto& given_up = mapped_all();
    given_up.came = {0};
    given_up.given = 3;
    given_up.has_ended = false;
    auto& returning = mapped_all();
    returning.most_ahead = 3;  // one of them is being returned
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosMaps, SeesAResultTwice) {
    mapped_all().came = {0, 1, 1, 2, 3};
    EXPECT_THAT(verdict(), ElementsAre(fault::item_twice));
}

TEST_F(ChaosMaps, SeesAResultOfNothing) {
    auto& m = mapped_all();
    m.given = 3;
    m.has_ended = false;
    EXPECT_THAT(verdict(), ElementsAre(fault::item_twice));
}

TEST_F(ChaosMaps, SeesDisorder) {
    mapped_all().came = {0, 2, 1, 3};
    EXPECT_THAT(verdict(), ElementsAre(fault::map_disorder));
}

TEST_F(ChaosMaps, SeesThatAResultIsMissingAtTheEnd) {
    mapped_all().came.pop_back();
    mapped_all().items = 5;
    EXPECT_THAT(verdict(), ElementsAre(fault::map_too_few, fault::map_too_few));
}

TEST_F(ChaosMaps, SeesThatItReadsTooFarAhead) {
    mapped_all().most_ahead = 4;
    EXPECT_THAT(verdict(), ElementsAre(fault::read_ahead));
}

}  // namespace
}  // namespace snakepit::chaos
