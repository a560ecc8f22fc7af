// What judges the variables of the chaos run's sessions: that it finds each kind of violation, and none in a good
// history.

#include "stress/chaos/session_checker.hpp"
#include "stress/chaos/session_story.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace snakepit::chaos {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using outcome = session_op::outcome;

class ChaosVariables : public testing::Test {
protected:
    [[nodiscard]] std::vector<fault> verdict() const { return faults_of(check_variables(story.history)); }
    session_op& count(std::uint64_t number, std::uint64_t count, std::uint64_t version, int from, int to) {
        auto& op = story.write(number, version, from, to, counter);
        op.value->count = count;
        op.expected = version - 1;
        return op;
    }
    session_op& read_count(std::uint64_t number, std::uint64_t count, std::uint64_t version, int from, int to) {
        auto& op = story.read(number, version, from, to, counter);
        op.value->count = count;
        return op;
    }

    session_story story;
};

TEST_F(ChaosVariables, FindsNothingInAGoodHistory) {
    story.find_nothing(0, 1);
    story.write(1, 5, 2, 3);
    story.read(1, 5, 4, 5);
    story.read(1, 0, 4, 5);  // s[name] tells no version
    story.write(2, 7, 10, 20);
    story.read(1, 5, 11, 12);  // the new value is not acknowledged
    story.read(2, 7, 11, 12);  // but it may be there
    story.read(1, 5, 13, 14);  // for some earlier than for others
    story.erase(30, 40);
    story.read(2, 7, 31, 32);
    story.find_nothing(31, 32);
    story.find_nothing(41, 42);
    auto& again = story.write(3, 9, 50, 51);
    again.expected = 0;
    auto& beaten = story.write(4, 0, 52, 53);
    beaten.expected = 7;
    beaten.how = outcome::refused;
    story.is_lost(story.write(5, 0, 60, 60));
    story.read(3, 9, 61, 62);
    story.read(5, 10, 63, 64);  // whoever wrote it was never heard of again
    EXPECT_THAT(verdict(), IsEmpty());
}

// ---- values

TEST_F(ChaosVariables, SeesAValueThatNobodyWrote) {
    story.read(7, 1, 0, 1);
    auto& strange = story.find_nothing(0, 1);
    strange.strange = "17";
    EXPECT_THAT(verdict(), ElementsAre(fault::never_written, fault::never_written));
}

TEST_F(ChaosVariables, SeesAValueOfAnotherVariable) {
    story.write(1, 1, 0, 1, "b");
    story.read(1, 1, 2, 3, "b").variable = "a";
    EXPECT_THAT(verdict(), ElementsAre(fault::never_written));
}

TEST_F(ChaosVariables, SeesAValueBeforeItsTime) {
    story.read(1, 1, 0, 1);
    story.write(1, 1, 2, 3);
    EXPECT_THAT(verdict(), ElementsAre(fault::never_written));
}

TEST_F(ChaosVariables, SeesAValueThatWasRefused) {
    story.write(1, 0, 0, 1).how = outcome::refused;
    story.read(1, 1, 2, 3);
    EXPECT_THAT(verdict(), ElementsAre(fault::never_written));
}

TEST_F(ChaosVariables, AnAttemptThatWasRefusedIsNotTheLast) {
    story.write(1, 0, 0, 1).how = outcome::refused;
    story.write(1, 2, 2, 3);
    story.read(1, 2, 4, 5);
    EXPECT_THAT(verdict(), IsEmpty());
}

// ---- sessions

TEST_F(ChaosVariables, SeesAValueOfAnotherKey) {
    story.write(1, 1, 0, 1).value->key = "t";
    story.read(1, 1, 2, 3).value->key = "t";
    EXPECT_THAT(verdict(), ElementsAre(fault::mixed_up));
}

TEST_F(ChaosVariables, SeesAValueOfAnEarlierSession) {
    story.write(1, 1, 0, 1);
    story.read(1, 1, 2, 3).session = 2;
    EXPECT_THAT(verdict(), ElementsAre(fault::mixed_up));
}

TEST_F(ChaosVariables, SeesALostCallsValueInTwoSessions) {
    story.is_lost(story.write(1, 0, 0, 0));
    story.read(1, 1, 2, 3);
    story.read(1, 1, 4, 5).session = 2;
    EXPECT_THAT(verdict(), ElementsAre(fault::mixed_up));
}

// ---- versions

TEST_F(ChaosVariables, SeesAVersionOfAnotherValue) {
    story.write(1, 1, 0, 1);
    story.read(1, 2, 2, 3);
    EXPECT_THAT(verdict(), ElementsAre(fault::wrong_version));
}

TEST_F(ChaosVariables, SeesAVersionThatTwoValuesHave) {
    story.write(1, 1, 0, 9);
    story.write(2, 1, 0, 9, "b");
    EXPECT_THAT(verdict(), ElementsAre(fault::wrong_version));
}

TEST_F(ChaosVariables, SeesAVersionThatIsGivenTooLate) {
    story.write(1, 5, 0, 1);
    story.write(2, 4, 2, 3, "b");
    EXPECT_THAT(verdict(), ElementsAre(fault::wrong_version));
}

// ---- stale reads

TEST_F(ChaosVariables, SeesAnOlderVersionThanTheOneThatWasAcknowledged) {
    story.write(1, 1, 0, 10);
    story.write(2, 2, 0, 10);
    story.read(1, 1, 11, 12);
    EXPECT_THAT(verdict(), ElementsAre(fault::stale_read));
}

TEST_F(ChaosVariables, LearnsTheVersionOfAValueFromWhoeverHasSeenIt) {
    story.write(1, 1, 0, 10);
    story.write(2, 0, 0, 10);
    story.read(2, 2, 8, 9);
    story.read(1, 0, 11, 12);
    EXPECT_THAT(verdict(), ElementsAre(fault::stale_read));
}

TEST_F(ChaosVariables, SeesAnOlderValueWhoseVersionNobodyKnows) {
    story.write(1, 0, 0, 1);
    story.write(2, 0, 2, 3);
    story.read(1, 0, 4, 5);
    EXPECT_THAT(verdict(), ElementsAre(fault::stale_read));
}

TEST_F(ChaosVariables, SeesAValueThatWasErased) {
    story.write(1, 1, 0, 1);
    story.erase(2, 3);
    story.read(1, 1, 4, 5);
    EXPECT_THAT(verdict(), ElementsAre(fault::stale_read));
}

TEST_F(ChaosVariables, WhatAnObserverReadsOfItsOwnMayNotHaveLeftItsWorker) {
    const auto who = story.write(1, 0, 0, 100).observer;  // not waited for
    story.read(1, 0, 2, 3).observer = who;
    story.write(2, 7, 4, 5);
    story.read(1, 8, 6, 7);
    story.read(1, 0, 8, 9);
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosVariables, WhatTheHostHasToldItsWriterIsThere) {
    const auto who = story.write(1, 0, 0, 100).observer;
    story.read(1, 1, 2, 3).observer = who;
    story.write(2, 0, 4, 5);
    story.read(1, 0, 6, 7);
    EXPECT_THAT(verdict(), ElementsAre(fault::stale_read));
}

TEST_F(ChaosVariables, SeesAStaleReadOfWhatAnotherHasSeen) {
    story.write(1, 0, 0, 100);
    story.read(1, 0, 2, 3);
    story.write(2, 0, 4, 5);
    story.read(1, 0, 6, 7);
    EXPECT_THAT(verdict(), ElementsAre(fault::stale_read));
}

// ---- one observer

TEST_F(ChaosVariables, SeesThatAnObserverGoesBack) {
    story.write(1, 1, 0, 100);
    story.is_lost(story.write(2, 0, 0, 0));
    const auto who = story.read(2, 2, 10, 11).observer;
    story.read(1, 1, 12, 13).observer = who;
    EXPECT_THAT(verdict(), ElementsAre(fault::went_back));
}

TEST_F(ChaosVariables, SeesThatAnObserverDoesNotReadWhatItHasWritten) {
    story.write(1, 0, 0, 1);
    const auto who = story.write(2, 0, 2, 100).observer;  // not waited for
    story.read(1, 0, 4, 5).observer = who;
    EXPECT_THAT(verdict(), ElementsAre(fault::went_back));
}

TEST_F(ChaosVariables, SeesThatAnObserverReadsWhatItHasOverwritten) {
    const auto who = story.write(1, 0, 0, 100).observer;
    story.write(2, 0, 2, 100).observer = who;
    story.read(1, 0, 4, 5).observer = who;
    EXPECT_THAT(verdict(), ElementsAre(fault::went_back));
}

TEST_F(ChaosVariables, SeesThatAnObserverReadsWhatItHasErased) {
    const auto who = story.write(1, 0, 0, 100).observer;
    story.erase(2, 3).observer = who;
    story.read(1, 0, 4, 5).observer = who;
    EXPECT_THAT(verdict(), ElementsAre(fault::went_back));
}

TEST_F(ChaosVariables, ReadingAnothersNewerValueIsNotGoingBack) {
    const auto who = story.write(1, 0, 0, 100).observer;
    story.write(2, 2, 1, 3);
    story.read(2, 2, 4, 5).observer = who;
    EXPECT_THAT(verdict(), IsEmpty());
}

// ---- lost writes

TEST_F(ChaosVariables, SeesAnAcknowledgedWriteThatIsLost) {
    story.write(1, 1, 0, 1);
    story.find_nothing(2, 3);
    EXPECT_THAT(verdict(), ElementsAre(fault::write_lost));
}

TEST_F(ChaosVariables, AnErasureThatCameBeforeOrAfterIsNoExcuse) {
    story.erase(0, 1);
    story.write(1, 1, 2, 3);
    story.find_nothing(4, 5);
    story.erase(6, 7);
    EXPECT_THAT(verdict(), ElementsAre(fault::write_lost));
}

TEST_F(ChaosVariables, AnErasureOfALostCallIsAnExcuse) {
    story.is_lost(story.erase(0, 0));
    story.write(1, 1, 2, 3);
    story.find_nothing(4, 5);
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosVariables, SeesThatAnObserverLosesWhatItHasSeen) {
    story.write(1, 1, 0, 100);
    const auto who = story.read(1, 1, 2, 3).observer;
    story.find_nothing(4, 5).observer = who;
    EXPECT_THAT(verdict(), ElementsAre(fault::write_lost));
}

// ---- compare_and_set

TEST_F(ChaosVariables, SeesTwoThatReplaceTheSameVersion) {
    story.write(1, 1, 0, 1);
    story.write(2, 2, 2, 9).expected = 1;
    story.write(3, 3, 2, 9).expected = 1;
    EXPECT_THAT(verdict(), ElementsAre(fault::set_over_another, fault::set_over_another));
}

TEST_F(ChaosVariables, SeesTwoThatFindNothing) {
    story.write(1, 1, 0, 9).expected = 0;
    story.write(2, 2, 0, 9).expected = 0;
    EXPECT_THAT(verdict(), ElementsAre(fault::set_over_another));
}

TEST_F(ChaosVariables, SeesAnotherVersionInBetween) {
    story.write(1, 1, 0, 9);
    story.write(2, 2, 0, 9);
    story.write(3, 3, 0, 9).expected = 1;
    EXPECT_THAT(verdict(), ElementsAre(fault::set_over_another));
}

TEST_F(ChaosVariables, SeesThatItFoundNothingWhereSomethingWas) {
    story.write(1, 1, 0, 1);
    story.write(2, 2, 2, 3).expected = 0;
    EXPECT_THAT(verdict(), ElementsAre(fault::set_over_another));
}

TEST_F(ChaosVariables, SeesThatItsVersionIsNotNewer) {
    story.write(1, 2, 0, 1).expected = 2;
    EXPECT_THAT(verdict(), testing::Contains(fault::wrong_version));
}

// ---- increments

TEST_F(ChaosVariables, ACounterCountsWhatWasAcknowledgedAndPerhapsMore) {
    count(1, 1, 1, 0, 1);
    story.is_lost(story.write(2, 0, 2, 2, counter));
    count(3, 2, 2, 4, 5);
    read_count(3, 2, 2, 6, 7);
    count(4, 4, 4, 20, 21);  // that of the lost call has come in between
    read_count(4, 4, 4, 22, 23);
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosVariables, AnIncrementThatSomebodyHasSeenIsNotYetAcknowledged) {
    count(1, 1, 1, 0, 1);
    count(2, 2, 2, 2, 100);
    read_count(2, 2, 2, 3, 4);
    read_count(1, 1, 1, 5, 6);
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosVariables, SeesAnIncrementThatIsLost) {
    count(1, 1, 1, 0, 1);
    count(2, 1, 2, 2, 3);
    read_count(2, 1, 2, 4, 5);
    EXPECT_THAT(verdict(), ElementsAre(fault::count_is_wrong, fault::count_is_wrong));
}

TEST_F(ChaosVariables, SeesAnIncrementThatNobodyMade) {
    count(1, 1, 1, 0, 1);
    count(2, 3, 2, 2, 3);
    read_count(2, 3, 2, 4, 5);
    EXPECT_THAT(verdict(), ElementsAre(fault::count_is_wrong));
}

}  // namespace
}  // namespace snakepit::chaos
