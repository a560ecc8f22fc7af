// What judges the workers of the chaos run by what their tools have written down: that it finds each kind of violation,
// and none in a good journal.

#include "stress/chaos/work_checker.hpp"
#include "support/surroundings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace snakepit::chaos {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using kind = journal_line::kind;

class ChaosWork : public testing::Test {
protected:
    static constexpr int process = 100;

    void add(kind what, std::vector<std::uint64_t> calls = {}, int where = process) {
        all.push_back({what, where, std::move(calls)});
    }
    void runs(std::vector<std::uint64_t> calls) {
        add(kind::begun, calls);
        add(kind::done, calls);
        add(kind::left, std::move(calls));
    }
    [[nodiscard]] std::vector<fault> verdict(std::size_t at_once = 1) const {
        return faults_of(check_work(all, rest, {.at_once = at_once, .max_batch = 3}));
    }

    journal all;
    moment_of_rest rest{.lines = 1'000, .idle = {process}};
};

TEST_F(ChaosWork, FindsNothingInAGoodJournal) {
    add(kind::born);
    runs({1});
    add(kind::begun, {2});
    add(kind::left, {2});  // cancelled
    runs({3, 4, 5});
    add(kind::born, {}, 101);
    add(kind::begun, {6}, 101);  // it has died
    add(kind::born, {}, 101);    // and another has its number
    add(kind::begun, {7}, 101);
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosWork, SeesTooManyBesideEachOther) {
    for (std::uint64_t call = 1; call <= 3; ++call) add(kind::begun, {call});
    rest.idle.clear();
    EXPECT_THAT(verdict(), ElementsAre(fault::too_many_at_once, fault::too_many_at_once));
    EXPECT_THAT(verdict(2), ElementsAre(fault::too_many_at_once));
    EXPECT_THAT(verdict(3), IsEmpty());
}

TEST_F(ChaosWork, SeesABatchThatIsTooLarge) {
    runs({1, 2, 3, 4});
    EXPECT_THAT(verdict(), ElementsAre(fault::batch_too_large));
}

TEST_F(ChaosWork, SeesAToolThatWasNeverLeft) {
    add(kind::begun, {1});
    add(kind::done, {1});
    EXPECT_THAT(verdict(), ElementsAre(fault::never_left));
    rest.idle = {101};
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosWork, WhatComesAfterTheMomentOfRestIsNotJudgedByIt) {
    runs({1});
    rest.lines = all.size();
    add(kind::begun, {2});  // in the middle of which all ends
    EXPECT_THAT(verdict(), IsEmpty());
    rest.lines = all.size();
    EXPECT_THAT(verdict(), ElementsAre(fault::never_left));
}

TEST(ChaosJournal, ReadsWhatTheToolsWroteDown) {
    const test::temporary_directory scratch;
    const auto all = read_journal(scratch.write("journal", "born 7\nbegun 7 1\nbegun 8 2 3\ndone 7 1\nleft 7 1\n"));
    ASSERT_EQ(all.size(), 5U);
    EXPECT_EQ(all[0].what, kind::born);
    EXPECT_EQ(all[2].process, 8);
    EXPECT_THAT(all[2].calls, ElementsAre(2, 3));
    EXPECT_EQ(all[4].what, kind::left);
    const auto runs = marks_of(all);
    ASSERT_EQ(runs.size(), 3U);
    EXPECT_EQ(runs.at(1).begun, 1);
    EXPECT_EQ(runs.at(1).done, 1);
    EXPECT_EQ(runs.at(3).begun, 1);
    EXPECT_EQ(runs.at(3).done, 0);
    for (const auto* broken : {"begun 7\n", "born 7 1\n", "begun 7 x\n", "beg", "ended 7 1\n"})
        EXPECT_THROW((void)read_journal(scratch.write("broken", broken)), std::runtime_error) << broken;
}

}  // namespace
}  // namespace snakepit::chaos
