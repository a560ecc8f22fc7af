// What judges the streams of the chaos run: that it finds each kind of violation, and none in a good history.

#include "stress/chaos/stream_checker.hpp"
#include "stress/chaos/stream_script.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>
#include <set>

namespace snakepit::chaos {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ChaosStreams : public testing::Test {
protected:
    static std::vector<std::uint64_t> up_to(std::uint64_t n) {
        std::vector<std::uint64_t> all(n);
        std::iota(all.begin(), all.end(), std::uint64_t{0});
        return all;
    }
    /// Five items, and the value behind them.
    stream_record& produced() {
        auto& s = all.emplace_back();
        s.tool = "produce";
        s.planned = 5;
        s.items = up_to(5);
        s.counted = 5;
        s.end = stream_end::value;
        return s;
    }
    /// Five items that it was sent.
    stream_record& relayed() {
        auto& s = produced();
        s.tool = "relay";
        s.planned = 0;
        s.relays = true;
        s.given = s.sent = 5;
        s.is_finished = true;
        return s;
    }
    /// Took five of eight items.
    stream_record& gathered() {
        auto& s = all.emplace_back();
        s.tool = "gather";
        s.gathers = true;
        s.planned = 5;
        s.gathered = up_to(5);
        s.given = s.sent = 8;
        s.end = stream_end::value;
        return s;
    }
    [[nodiscard]] std::vector<fault> verdict() const { return faults_of(check_streams(all)); }

    std::deque<stream_record> all;
};

TEST_F(ChaosStreams, FindsNothingInAGoodHistory) {
    produced();
    relayed();
    gathered();
    auto& lost = produced();
    lost.items.resize(3);
    lost.counted.reset();
    lost.end = stream_end::other;
    auto& dropped = relayed();
    dropped.items.resize(2);
    dropped.end = stream_end::dropped;
    dropped.is_finished = false;
    auto& unread = produced();
    unread.items.clear();
    unread.is_read_whole = false;
    auto& raised = produced();
    raised.counted.reset();
    raised.end = stream_end::raised;
    auto& short_of = gathered();
    short_of.given = short_of.sent = 3;
    short_of.gathered = up_to(3);
    short_of.is_finished = true;
    auto& on_its_way = relayed();
    on_its_way.given = 6;
    on_its_way.items = up_to(6);  // not acknowledged
    on_its_way.end = stream_end::other;
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosStreams, SeesAGap) {
    produced().items = {0, 1, 3, 4};
    EXPECT_THAT(verdict(), ElementsAre(fault::out_of_order, fault::items_missing));
}

TEST_F(ChaosStreams, SeesAnItemTwice) {
    produced().items = {0, 1, 1, 2, 3};
    EXPECT_THAT(verdict(), ElementsAre(fault::out_of_order));
}

TEST_F(ChaosStreams, SeesAnItemOfAnother) {
    produced().items[2] = stream_record::strange;
    EXPECT_THAT(verdict(), ElementsAre(fault::strange_item));
}

TEST_F(ChaosStreams, SeesTooMany) {
    produced().items = up_to(6);
    relayed().items = up_to(6);
    gathered().items = up_to(1);
    gathered().gathered = up_to(6);
    produced().more_after_end = true;
    EXPECT_THAT(verdict(), ElementsAre(fault::too_many_items, fault::too_many_items, fault::too_many_items,
                                       fault::too_many_items, fault::too_many_items));
}

TEST_F(ChaosStreams, SeesAnEndBeforeTheLastItem) {
    produced().items.pop_back();
    auto& raised = produced();
    raised.items.pop_back();
    raised.end = stream_end::raised;
    relayed().items.pop_back();
    EXPECT_THAT(verdict(), ElementsAre(fault::items_missing, fault::items_missing, fault::items_missing));
}

TEST_F(ChaosStreams, SeesThatItsToolCountsOtherwise) {
    produced().counted = 4;
    relayed().counted = 6;
    EXPECT_THAT(verdict(), ElementsAre(fault::items_missing, fault::items_missing));
}

TEST_F(ChaosStreams, SeesAnInputThatIsMixedUp) {
    gathered().gathered = {0, 2, 1, 3, 4};
    EXPECT_THAT(verdict(), ElementsAre(fault::out_of_order));
}

TEST_F(ChaosStreams, SeesAnEndInTheMiddleOfTheInput) {
    relayed().is_finished = false;
    gathered().gathered.pop_back();
    EXPECT_THAT(verdict(), ElementsAre(fault::ended_in_the_middle, fault::ended_in_the_middle, fault::items_missing));
}

TEST(ChaosStreamScript, IsTheSameFromTheSameSeedAndOfEveryKind) {
    dice one(7);
    dice other(7);
    std::set<std::string_view> tools;
    std::set<patience_of_reader> readers;
    for (int i = 0; i < 500; ++i) {
        const auto s = next_stream(one);
        EXPECT_EQ(arguments_of(s, 1), arguments_of(next_stream(other), 1));
        tools.insert(s.tool);
        readers.insert(s.patience);
    }
    EXPECT_EQ(tools.size(), 6U);
    EXPECT_EQ(readers.size(), 4U);
}

}  // namespace
}  // namespace snakepit::chaos
