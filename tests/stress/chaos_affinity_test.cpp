// What judges where the chaos run's calls in sessions were served, and what their callers were told.

#include "stress/chaos/session_checker.hpp"
#include "stress/chaos/session_story.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace snakepit::chaos {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ChaosAffinity : public testing::Test {
protected:
    [[nodiscard]] std::vector<fault> verdict() const { return faults_of(check_affinity(history)); }
    /// A strict call from one moment to another, run a moment after it began.
    session_call& call(std::string process, int from, int to) {
        session_call c;
        c.id = history.calls.size() + 1;
        c.key = "s";
        c.affinity = affinity::strict;
        c.has_run = true;
        c.begun = session_story::at(from);
        c.ended = session_story::at(to);
        c.ran = session_story::at(from + 1);
        c.process = std::move(process);
        return history.calls.emplace_back(std::move(c));
    }

    session_history history;
};

TEST_F(ChaosAffinity, FindsNothingInAGoodHistory) {
    call("p", 0, 5);
    call("p", 10, 15);
    call("q", 20, 25).moved = true;
    call("q", 30, 35);
    call("x", 30, 35).affinity = affinity::none;
    auto& hinted = call("r", 40, 45);
    hinted.affinity = affinity::hint;
    hinted.moved = true;
    call("q", 50, 55).moved = true;
    call("x", 0, 100).key = "t";
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosAffinity, SeesAMoveThatNobodyWasToldOf) {
    call("p", 0, 5);
    call("q", 10, 15);
    EXPECT_THAT(verdict(), ElementsAre(fault::moved_unsaid));
}

TEST_F(ChaosAffinity, SeesAMoveBackThatNobodyWasToldOf) {
    call("p", 0, 5);
    auto& there = call("q", 10, 15);
    there.moved = true;
    there.affinity = affinity::hint;
    call("p", 20, 25);
    EXPECT_THAT(verdict(), ElementsAre(fault::moved_unsaid));
}

TEST_F(ChaosAffinity, ACallThatFailedMayHaveBeenToldInstead) {
    call("p", 0, 5);
    call("", 8, 20);
    call("q", 10, 15);
    EXPECT_THAT(verdict(), IsEmpty());
    history.calls[1].has_run = false;
    EXPECT_THAT(verdict(), ElementsAre(fault::moved_unsaid));
    history.calls[1].may_have_run = true;
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosAffinity, CallsAtTheSameTimeCameInAnyOrder) {
    call("p", 0, 50);
    call("q", 10, 50).moved = true;
    call("q", 10, 50);
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosAffinity, SeesAMoveThatWasNone) {
    call("p", 0, 5).moved = true;
    EXPECT_THAT(verdict(), ElementsAre(fault::moved_for_nothing));
}

TEST_F(ChaosAffinity, SeesAMoveFromAWorkerToItself) {
    call("q", 0, 5);
    call("p", 10, 15).moved = true;
    call("p", 20, 25).moved = true;
    EXPECT_THAT(verdict(), ElementsAre(fault::moved_for_nothing));
}

TEST_F(ChaosAffinity, SeesAStrictCallThatLeavesAWorkerWhichGoesOnServing) {
    call("p", 0, 5);
    call("q", 10, 15).moved = true;
    call("p", 20, 25).key = "t";
    EXPECT_THAT(verdict(), ElementsAre(fault::left_its_worker));
}

TEST_F(ChaosAffinity, AWorkerThatLeavesMayFinishWhatItHolds) {
    call("p", 0, 5);
    call("q", 10, 15).moved = true;
    call("p", 9, 50).key = "t";
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosAffinity, AHintMayTakeTheSessionElsewhere) {
    call("p", 0, 5);
    auto& hinted = call("q", 6, 8);
    hinted.affinity = affinity::hint;
    hinted.moved = true;
    call("q", 10, 15);
    call("p", 20, 25).key = "t";
    EXPECT_THAT(verdict(), IsEmpty());
}

}  // namespace
}  // namespace snakepit::chaos
