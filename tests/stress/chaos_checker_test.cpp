// What judges the chaos run: that it finds each kind of violation, and none in a good history.

#include "stress/chaos/checker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace snakepit::chaos {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class ChaosChecker : public testing::Test {
protected:
    static constexpr auto grace = 100ms;

    /// A call that was begun at 0 and served at 10 ms.
    call_record& served(std::string_view tool = "echo") {
        auto& c = seen.calls.emplace_back();
        c.id = seen.calls.size();
        c.tool = tool;
        c.timeout = 1s;
        c.ends = 1;
        c.ended = c.begun + 10ms;
        c.value_is_right = true;
        seen.runs[c.id] = {1, 1};
        return c;
    }
    call_record& failed(errc why, clock::duration after = 10ms) {
        auto& c = served();
        c.code = make_error_code(why);
        c.ended = c.begun + after;
        c.value_is_right = false;
        seen.runs[c.id].done = 0;
        return c;
    }
    call_record& lost(std::string with) {
        auto& c = failed(errc::worker_lost);
        c.lost_with = std::move(with);
        return c;
    }
    /// The pool's counts are made to agree, unless a test is about them.
    [[nodiscard]] std::vector<fault> verdict(bool agree = true, std::size_t at_once = 1) {
        if (agree) {
            seen.pool = {};
            for (const auto& c : seen.calls) {
                ++seen.pool.submitted;
                if (c.ends == 0 && !c.is_dropped) continue;
                if (!c.code) ++seen.pool.succeeded;
                else if (c.code == make_error_code(errc::cancelled)) ++seen.pool.cancelled;
                else if (c.code == make_error_code(errc::deadline_exceeded)) ++seen.pool.expired;
                else ++seen.pool.failed;
            }
        }
        return faults_of(check(seen, {.grace = grace, .at_once = at_once, .max_batch = 3}));
    }

    history seen;
};

TEST_F(ChaosChecker, FindsNothingInAGoodHistory) {
    served();
    served().timeout = 0s;
    failed(errc::deadline_exceeded, 1s);
    failed(errc::deadline_exceeded, 1s + grace);
    auto& cancelled = failed(errc::cancelled, 50ms);
    cancelled.cancelled_at = cancelled.begun + 40ms;
    lost("w0 (pid 1)");
    lost("w0 (pid 2)");
    lost("w1 (pid 3)");
    failed(errc::tool_raised);
    auto& again = served();
    again.may_run_again = true;
    seen.runs[again.id] = {3, 1};
    auto& poison = failed(errc::poison_call);
    poison.may_run_again = true;
    poison.lost_with = "w1 (pid 4)";
    auto& out_of_budget = lost("w1 (pid 5)");
    out_of_budget.may_run_again = out_of_budget.found_no_budget = true;
    auto& never_begun = failed(errc::deadline_exceeded, 1s);
    seen.runs.erase(never_begun.id);
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosChecker, SeesACallThatNeverEnds) {
    served().ends = 0;
    EXPECT_THAT(verdict(), ElementsAre(fault::never_ended));
}

TEST_F(ChaosChecker, SeesACallThatEndsTwice) {
    served().ends = 2;
    EXPECT_THAT(verdict(), ElementsAre(fault::ended_twice));
}

TEST_F(ChaosChecker, SeesACallThatRunsTwiceWithoutPermission) {
    seen.runs[served().id].begun = 2;
    EXPECT_THAT(verdict(), ElementsAre(fault::ran_twice));
}

TEST_F(ChaosChecker, SeesAFailedCallThatRunsTwice) {
    seen.runs[lost("w0 (pid 1)").id].begun = 2;
    EXPECT_THAT(verdict(), ElementsAre(fault::ran_twice));
}

TEST_F(ChaosChecker, SeesAValueThatIsAnothers) {
    served().value_is_right = false;
    EXPECT_THAT(verdict(), ElementsAre(fault::wrong_value));
}

TEST_F(ChaosChecker, SeesAValueThatNobodyMade) {
    seen.runs.erase(served().id);
    EXPECT_THAT(verdict(), ElementsAre(fault::value_without_work));
}

TEST_F(ChaosChecker, SeesACallerThatWaitsPastItsDeadlineWhateverItHears) {
    failed(errc::deadline_exceeded, 1s + grace + 1ms);
    served().ended += 2s;
    lost("w0 (pid 1)").ended += 2s;
    EXPECT_THAT(verdict(), ElementsAre(fault::overstayed, fault::overstayed, fault::overstayed));
}

TEST_F(ChaosChecker, SeesACallerThatWaitsPastItsCancellation) {
    auto& c = failed(errc::cancelled, 200ms);
    c.cancelled_at = c.begun + 50ms;
    EXPECT_THAT(verdict(), ElementsAre(fault::overstayed));
}

TEST_F(ChaosChecker, ACallerThatDoesSomethingElseHearsLater) {
    auto& c = failed(errc::deadline_exceeded, 5s);
    c.listens_since = c.ended - grace / 2;
    EXPECT_THAT(verdict(), IsEmpty());
    c.listens_since = c.ended - 2 * grace;
    EXPECT_THAT(verdict(), ElementsAre(fault::overstayed));
}

TEST_F(ChaosChecker, WhoHasLetGoOfACallHearsNothing) {
    auto& c = served();
    c.is_dropped = true;
    c.ends = 0;
    EXPECT_THAT(verdict(), IsEmpty());
    seen.runs[c.id].begun = 2;
    EXPECT_THAT(verdict(), ElementsAre(fault::ran_twice));
}

TEST_F(ChaosChecker, SeesADeadlineThatIsTooEarlyOrNobodys) {
    failed(errc::deadline_exceeded, 900ms);
    failed(errc::deadline_exceeded, 900ms).timeout = 0s;
    EXPECT_THAT(verdict(), ElementsAre(fault::gave_up_early, fault::gave_up_early));
}

TEST_F(ChaosChecker, SeesACancellationThatNobodyAskedFor) {
    failed(errc::cancelled);
    EXPECT_THAT(verdict(), ElementsAre(fault::cancelled_unasked));
}

TEST_F(ChaosChecker, SeesWhatAnEndCostsBeyondTheCallThatWasExecuting) {
    lost("w0 (pid 1)");
    lost("w0 (pid 1)");
    lost("w0 (pid 1)");
    EXPECT_THAT(verdict(), ElementsAre(fault::lost_with_another, fault::lost_with_another));
}

TEST_F(ChaosChecker, AnEndCostsAllThatRanBesideEachOther) {
    for (int i = 0; i < 3; ++i) lost("w0 (pid 1)");
    EXPECT_THAT(verdict(true, 3), IsEmpty());
    EXPECT_THAT(verdict(true, 2), ElementsAre(fault::lost_with_another));
}

TEST_F(ChaosChecker, AnEndCostsAWholeBatchAndNothingBesideIt) {
    for (int i = 0; i < 3; ++i) lost("w0 (pid 1)").is_in_batch = true;
    EXPECT_THAT(verdict(), IsEmpty());
    lost("w0 (pid 1)").is_in_batch = true;
    EXPECT_THAT(verdict(), ElementsAre(fault::lost_with_another));
    seen.calls.back().is_in_batch = false;
    EXPECT_THAT(verdict(), ElementsAre(fault::lost_with_another));
}

TEST_F(ChaosChecker, OnlyALargeReplyMayBeLostWithACallThatWasDone) {
    lost("w0 (pid 1)");
    auto& large = lost("w0 (pid 1)");
    large.has_large_reply = true;
    seen.runs[large.id].done = 1;
    EXPECT_THAT(verdict(), IsEmpty());
    auto& small = lost("w0 (pid 1)");
    seen.runs[small.id].done = 1;
    EXPECT_THAT(verdict(), ElementsAre(fault::lost_with_another));
}

TEST_F(ChaosChecker, SeesALossThatAnotherAttemptWouldHaveSpared) {
    lost("w0 (pid 1)").may_run_again = true;
    EXPECT_THAT(verdict(), ElementsAre(fault::lost_with_permission));
}

TEST_F(ChaosChecker, SeesThatAPoisonCallIsTheOnlyOneThatAnEndCosts) {
    lost("w0 (pid 1)");
    auto& poison = failed(errc::poison_call);
    poison.may_run_again = true;
    poison.lost_with = "w0 (pid 1)";
    failed(errc::poison_call).said = "it had no permission to run twice";
    EXPECT_THAT(verdict(), ElementsAre(fault::lost_with_another, fault::unexpected_error));
}

TEST_F(ChaosChecker, SeesAnErrorThatNothingExplains) {
    failed(errc::queue_full).said = "the queue is full";
    EXPECT_THAT(verdict(), ElementsAre(fault::unexpected_error));
}

TEST_F(ChaosChecker, SeesThatThePoolCountsOtherwise) {
    served();
    seen.pool = {.submitted = 1, .failed = 1};
    EXPECT_THAT(verdict(false), ElementsAre(fault::miscounted, fault::miscounted));
}

TEST_F(ChaosChecker, SeesThatThePoolHasNoEndOfADroppedCall) {
    auto& c = served();
    c.is_dropped = true;
    c.ends = 0;
    seen.pool = {.submitted = 1, .cancelled = 1};
    EXPECT_THAT(verdict(false), IsEmpty());
    seen.pool.cancelled = 0;
    EXPECT_THAT(verdict(false), ElementsAre(fault::miscounted));
}

TEST_F(ChaosChecker, ACallThatComesTooLateIsNotLetIn) {
    auto& c = failed(errc::deadline_exceeded, 1s);
    EXPECT_THAT(verdict(false), ElementsAre(fault::miscounted, fault::miscounted, fault::miscounted));
    c.given = c.begun + 1s;
    EXPECT_THAT(verdict(false), IsEmpty());
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosChecker, SaysHowLateTheLatestAnswerWas) {
    failed(errc::deadline_exceeded, 1s + 30ms);
    auto& c = failed(errc::cancelled, 90ms);
    c.cancelled_at = c.begun + 40ms;
    EXPECT_EQ(worst_delay(seen), 50ms);
}

TEST(ChaosHistory, KnowsWhichProcessACallWasLostWith) {
    const auto one = error(errc::worker_lost, "the worker (pid 17) ended: signal 9 (SIGKILL)").with_worker("w0");
    EXPECT_EQ(process_of(one), "w0 (pid 17)");
    EXPECT_EQ(process_of(error(errc::worker_lost, "for no reason").with_worker("w1")), "w1 for no reason");
}

}  // namespace
}  // namespace snakepit::chaos
