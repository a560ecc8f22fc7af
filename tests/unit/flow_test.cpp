// How much a worker is given in advance, what is taken back from one that stands still, and whose turn it is.

#include "pool/class_queue.hpp"
#include "pool/credit.hpp"
#include "pool/limits.hpp"
#include "pool/switchboard.hpp"
#include "support/switchboard_fixture.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using testing_lane = snakepit::testing::fake_lane;
using manners = testing_lane::manners;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const error lost(errc::worker_lost, "it is gone");

struct pending : snakepit::testing::pending_call {
    std::shared_ptr<served_by> served = std::make_shared<served_by>();
    [[nodiscard]] bool ran_on(const char* worker) const { return ends == 1 && *outcome && served->worker == worker; }
};
using pending_ptr = std::shared_ptr<pending>;

class Flow : public snakepit::testing::SwitchboardFixture {
protected:
    /// A horizon that does not depend on how fast this machine is.
    static constexpr credit_rules fixed{500, 500, 1'000'000, 4ms};

    void make(int calls_per_line = 64, credit_rules credit = fixed, std::size_t queue = 1000) {
        board_ = std::make_unique<switchboard>(switchboard::limits{.queue = queue,
                                                                   .calls_per_line = calls_per_line,
                                                                   .in_flight = max_inflight_bytes,
                                                                   .sessions = 100,
                                                                   .credit = credit},
                                               [this](call::clock::time_point) { ++alarms_; });
        board_->open();
    }
    std::shared_ptr<testing_lane> plug_in(manners how = {}) { return plug_in_lane(std::move(how), {"fast", "slow"}); }
    pending_ptr prepare(std::string name, std::string tool = "fast") {
        auto p = std::make_shared<pending>();
        p->it->tool = std::move(tool);
        if (name.size() > max_inline_bytes) p->it->large = std::make_shared<const std::string>(std::move(name));
        else p->it->arguments = std::move(name);
        p->it->served = p->served;
        listen(p, io_);
        return p;
    }
    pending_ptr submit(pending_ptr p) {
        board_->submit(p->it);
        return p;
    }
    pending_ptr submit(std::string name, std::string tool = "fast") {
        return submit(prepare(std::move(name), std::move(tool)));
    }
    pending_ptr submit(std::string name, priority of, std::string tool = "fast") {
        const auto p = prepare(std::move(name), std::move(tool));
        p->it->priority = of;
        return submit(p);
    }
    pending_ptr submit_strict(std::string name, std::string session, priority of = priority::normal) {
        const auto p = prepare(std::move(name));
        p->it->session = std::move(session);
        p->it->affinity = affinity::strict;
        p->it->priority = of;
        return submit(p);
    }
    std::vector<pending_ptr> submit_many(int n, const std::string& tool = "fast") {
        std::vector<pending_ptr> all;
        for (int i = 0; i < n; ++i) all.push_back(submit(std::to_string(i), tool));
        run();
        return all;
    }
    /// A worker of its own says what the tool takes, and goes.
    void teach(const std::string& tool, std::uint64_t us) {
        const auto teacher = plug_in({.runs_us = us});
        submit("x", tool);
        run();
        teacher->answer_all();
        run();
        teacher->unplug(lost);
    }
    /// The alarm, a good while after the last one.
    void alarm(call::clock::duration later = 10ms) {
        now_ = std::max(now_, call::clock::now()) + later;
        board_->expire(now_);
    }
    /// w0 holds calls 1 to 4, named a to d, and w1 comes when these were sent.
    void hold_four() {
        make();
        teach("fast", 1);
        first_ = plug_in();
        for (const char* name : {"a", "b", "c", "d"}) held_.push_back(submit(name));
        run();
        second_ = plug_in();
        ASSERT_THAT(first_->held(), ElementsAre(1, 2, 3, 4));
    }
    /// No call ends for so long that it is seen.
    void stand_still() {
        alarm();
        alarm();
    }

    call::clock::time_point now_;
    int alarms_ = 0;
    std::shared_ptr<testing_lane> first_;
    std::shared_ptr<testing_lane> second_;
    std::vector<pending_ptr> held_;
};

class Credit : public Flow {};
class Recall : public Flow {};
class Priorities : public Flow {};

// ---- means

TEST(MeanDuration, IsMovedLittleByOneThatIsFarFromIt) {
    mean_duration m;
    EXPECT_FALSE(m.is_known());
    for (int i = 0; i < 10; ++i) m.add(20);
    EXPECT_EQ(m.us(), 20u);
    m.add(1'000'000);
    EXPECT_LT(m.us(), 50u);
}

TEST(MeanDuration, IsMovedFastByARow) {
    mean_duration m;
    m.add(20);
    for (int i = 0; i < 20; ++i) m.add(50'000);
    EXPECT_GT(m.us(), 5'000u);
    for (int i = 0; i < 20; ++i) m.add(20);
    EXPECT_LT(m.us(), 100u);
}

// ---- credit

TEST_F(Credit, AToolThatNeverEndedGetsNothingInAdvance) {
    make();
    const auto a = plug_in();
    const auto b = plug_in();
    submit_many(5);
    EXPECT_THAT(a->held(), SizeIs(1));
    EXPECT_THAT(b->held(), SizeIs(1));
    EXPECT_EQ(board_->stats().queued, 3u);
}

TEST_F(Credit, FastToolsGoAsDeepAsTheyMay) {
    make();
    teach("fast", 1);
    const auto lane = plug_in();
    submit_many(100);
    EXPECT_THAT(lane->held(), SizeIs(64));
}

TEST_F(Credit, FollowsTheCostOfTheCalls) {
    make();
    constexpr auto each = 100 - line_credit::call_overhead;
    teach("fast", each);
    const auto lane = plug_in({.runs_us = each});
    submit_many(100);
    EXPECT_THAT(lane->held(), SizeIs(6));  // of 100 us each: behind the fifth there is work for 500 us, no more
    (void)lane->answer({1, 2});
    EXPECT_THAT(lane->held(), SizeIs(6));
}

TEST_F(Credit, SlowToolsHaveNothingBehindThem) {
    make();
    teach("slow", 600);
    const auto lane = plug_in();
    submit_many(10, "slow");
    EXPECT_THAT(lane->held(), SizeIs(1));
}

TEST_F(Credit, NothingGoesBehindASlowCall) {
    make();
    teach("fast", 1);
    teach("slow", 5'000);
    const auto a = plug_in();
    const auto b = plug_in();
    submit("slow", "slow");
    submit_many(20);
    EXPECT_EQ(std::max(a->held().size(), b->held().size()), 20u);
    EXPECT_EQ(std::min(a->held().size(), b->held().size()), 1u);
}

TEST_F(Credit, ASlowCallWaitsForAWorkerThatHasNothing) {
    make();
    teach("fast", 1);
    teach("slow", 5'000);
    const auto lane = plug_in();
    submit_many(3);
    submit("slow", "slow");
    const auto behind = submit("late");
    run();
    EXPECT_THAT(lane->held_arguments(), ElementsAre("0", "1", "2"));
    (void)lane->answer_all();
    run();
    EXPECT_THAT(lane->held_arguments(), ElementsAre("slow"));
    (void)lane->answer_all();
    run();
    EXPECT_THAT(lane->held_arguments(), ElementsAre("late"));
}

TEST_F(Credit, IsTold) {
    make();
    const auto lane = plug_in({.runs_us = 100 - line_credit::call_overhead});
    EXPECT_EQ(board_->pace_of(*lane->carried()).credit, 1u);
    submit_many(1);
    (void)lane->answer_all();
    const auto told = board_->pace_of(*lane->carried());
    EXPECT_EQ(told.credit, 6u);
    EXPECT_EQ(told.service, 96us);
}

TEST_F(Credit, AHorizonFollowsFromTheWayThereAndBack) {
    make(64, {.least_horizon = 10, .most_horizon = 1'000'000, .unknown_tool = 0, .stall = 0ms});
    const auto lane = plug_in({.runs_us = 1});
    submit_many(1);
    const auto since = call::clock::now();
    while (call::clock::now() < since + 2ms) {
    }
    (void)lane->answer_all();
    EXPECT_GE(board_->pace_of(*lane->carried()).round_trip, 1'900us);
    EXPECT_EQ(board_->pace_of(*lane->carried()).credit, 64u);
}

// ---- recall

TEST_F(Recall, TakesBackWhatHasNotBegunBehindACallThatDoesNotEnd) {
    hold_four();
    alarm();
    EXPECT_THAT(first_->recalls(), IsEmpty());
    alarm();
    EXPECT_THAT(first_->recalls(), ElementsAre(ElementsAre(2, 3, 4)));
    EXPECT_EQ(first_->give_back({2, 3, 4}), std::nullopt);
    run();
    EXPECT_THAT(second_->held_arguments(), ElementsAre("b", "c", "d"));
    EXPECT_EQ(board_->stats().recalled, 3u);
    (void)second_->answer_all();
    (void)first_->answer_all();
    run();
    EXPECT_TRUE(held_[0]->ran_on("w1"));  // w0 has taught
    for (int i = 1; i < 4; ++i) EXPECT_TRUE(held_[static_cast<std::size_t>(i)]->ran_on("w2"));
}

TEST_F(Recall, NotWhileCallsEnd) {
    hold_four();
    alarm();
    (void)first_->answer({1});
    alarm();
    EXPECT_THAT(first_->recalls(), IsEmpty());
}

TEST_F(Recall, OfAWorkerThatStandsStillIsAskedOnceAndItGetsNothingMore) {
    hold_four();
    stand_still();
    stand_still();
    EXPECT_THAT(first_->recalls(), SizeIs(1));
    submit_many(3);
    EXPECT_THAT(first_->held(), SizeIs(4));
    EXPECT_THAT(second_->held(), SizeIs(3));
    EXPECT_EQ(board_->pace_of(*first_->carried()).credit, 1u);
    (void)first_->answer({1, 2, 3, 4});
    (void)second_->answer_all();
    submit_many(4);
    EXPECT_THAT(first_->held(), SizeIs(2));  // it is as good as the other one again
}

TEST_F(Recall, WithoutAnotherWorkerOnlyHasWhatIsReadySent) {
    make();
    teach("fast", 1);
    const auto lane = plug_in();
    submit_many(3);
    stand_still();
    EXPECT_THAT(lane->recalls(), ElementsAre(IsEmpty()));
}

TEST_F(Recall, LooksAtNothingWhileNoWorkerHoldsCallsInAdvance) {
    make();
    teach("fast", 1);
    const auto lane = plug_in();
    submit_many(1);
    EXPECT_EQ(alarms_, 0);
    submit_many(1);
    EXPECT_EQ(alarms_, 1);
    alarm();
    EXPECT_EQ(alarms_, 2);
    (void)lane->answer_all();
    alarm();
    EXPECT_EQ(alarms_, 2);
}

TEST_F(Recall, OfStrictCallsThereIsNone) {
    make();
    teach("fast", 1);
    const auto lane = plug_in();
    submit("a");
    submit_strict("b", "s");
    submit("c");
    run();
    plug_in();
    stand_still();
    EXPECT_THAT(lane->recalls(), ElementsAre(ElementsAre(3)));
}

TEST_F(Recall, OfCallsThatHaveBegunNothingIsHeardButTheirReplies) {
    hold_four();
    stand_still();
    (void)first_->answer({1, 2, 3});
    EXPECT_EQ(first_->give_back({4}), std::nullopt);
    run();
    for (const auto& lane : {first_, second_}) (void)lane->answer_all();
    run();
    EXPECT_TRUE(held_[2]->ran_on("w1"));
    EXPECT_EQ(held_[3]->ends, 1);
    EXPECT_EQ(board_->stats().recalled, 1u);
}

TEST_F(Recall, ACallThatIsCancelledMeanwhileIsOver) {
    hold_four();
    stand_still();
    board_->give_up(*held_[1]->it, errc::cancelled);
    EXPECT_EQ(first_->give_back({2, 3, 4}), std::nullopt);
    run();
    EXPECT_TRUE(held_[1]->failed_with(errc::cancelled));
    EXPECT_THAT(second_->held_arguments(), ElementsAre("c", "d"));
    EXPECT_EQ(board_->stats().late_replies, 1u);
    EXPECT_EQ(board_->load(*first_->carried()), 1u);
}

TEST_F(Recall, ACallThatIsGivenBackUnaskedCostsTheWorker) {
    hold_four();
    const auto breach = first_->give_back({3});
    ASSERT_TRUE(breach);
    EXPECT_THAT(*breach, HasSubstr("not asked"));
}

TEST_F(Recall, ACallThatIsGivenBackTwiceCostsTheWorkerButNoCall) {
    hold_four();
    stand_still();
    const auto breach = first_->give_back({2, 3, 3, 4});
    ASSERT_TRUE(breach);
    EXPECT_THAT(*breach, HasSubstr("second reply"));
    run();
    EXPECT_THAT(second_->held_arguments(), ElementsAre("b", "c"));
    first_->unplug(lost);
    run();
    EXPECT_TRUE(held_[3]->failed_with(errc::worker_lost));
}

TEST_F(Recall, ACallOfADeadWorkerThatTellsThatItWasGivenBackIsRunElsewhere) {
    hold_four();
    stand_still();
    last_words said;
    said.begun = 4;
    said.done = 3;
    said.replies.push_back({2, value(), false, 0, true});
    said.replies.push_back({1, value("done")});
    first_->unplug(lost, std::move(said));
    run();
    EXPECT_EQ(held_[0]->ends, 1);
    EXPECT_THAT(second_->held_arguments(), ElementsAre("b"));
    EXPECT_TRUE(held_[2]->failed_with(errc::worker_lost));  // done, but nothing was left of its reply
    EXPECT_TRUE(held_[3]->failed_with(errc::worker_lost));  // it ran
}

TEST_F(Recall, AWorkerThatWasNotAskedIsNotBelievedWhenItIsDead) {
    hold_four();
    last_words said;
    said.begun = 2;
    said.done = 2;
    said.replies.push_back({2, value(), false, 0, true});
    first_->unplug(lost, std::move(said));
    run();
    EXPECT_TRUE(held_[1]->failed_with(errc::worker_lost));
    EXPECT_THAT(second_->held_arguments(), ElementsAre("c", "d"));
}

TEST_F(Recall, AWorkerThatDiesBeforeItHasAnsweredHadNotBegun) {
    hold_four();
    stand_still();
    last_words said;
    said.begun = 1;
    first_->unplug(lost, std::move(said));
    run();
    EXPECT_TRUE(held_[0]->failed_with(errc::worker_lost));
    EXPECT_THAT(second_->held_arguments(), ElementsAre("b", "c", "d"));
    EXPECT_EQ(board_->stats().moved, 3u);
}

TEST_F(Recall, AnAnswerThatComesAfterTheEndIsNotHeard) {
    hold_four();
    stand_still();
    const auto l = first_->carried();
    board_->disconnect(*l, lost);
    std::vector<settlement> replies;
    replies.push_back({2, value(), false, 0, true});
    EXPECT_EQ(board_->settle(*l, replies), std::nullopt);
    run();
    EXPECT_EQ(board_->stats().recalled, 0u);
}

TEST_F(Recall, AWorkerThatRetiresHasServedWhenTheRestHasEnded) {
    hold_four();
    board_->retire(*first_->carried());
    stand_still();
    EXPECT_EQ(first_->give_back({2, 3, 4}), std::nullopt);
    EXPECT_EQ(first_->served_calls(), 0);
    (void)first_->answer_all();
    EXPECT_EQ(first_->served_calls(), 1);
}

TEST_F(Recall, WhatWasNotSentGoesWithoutAsking) {
    make();
    teach("fast", 1);
    const auto lane = plug_in({.writes_end = false});
    submit("a");
    run();
    submit("b");
    submit(std::string(3 * max_inline_bytes, 'x'));
    run();
    const auto other = plug_in();
    stand_still();
    run();
    EXPECT_THAT(lane->held(), ElementsAre(1));
    EXPECT_THAT(other->held_arguments(), SizeIs(2));
    EXPECT_EQ(board_->stats().recalled, 0u);
}

TEST_F(Recall, AfterTheEndOfThePoolThereIsNone) {
    hold_four();
    board_->shut(error(errc::pool_stopped, "enough"));
    stand_still();
    EXPECT_THAT(first_->recalls(), ElementsAre(IsEmpty()));
}

TEST_F(Recall, AWorkerThatComesLaterHelpsToo) {
    make();
    teach("fast", 1);
    first_ = plug_in();
    submit_many(4);
    stand_still();
    EXPECT_THAT(first_->recalls(), ElementsAre(IsEmpty()));
    plug_in();
    alarm();
    EXPECT_THAT(first_->recalls(), ElementsAre(IsEmpty(), ElementsAre(2, 3, 4)));
    alarm();
    EXPECT_THAT(first_->recalls(), SizeIs(2));
}

TEST_F(Recall, OfAWorkerThatRunsSeveralAtOnceLeavesTheseAlone) {
    make();
    teach("fast", 1);
    first_ = plug_in({.width = 2});
    submit_many(5);
    plug_in();
    stand_still();
    EXPECT_THAT(first_->recalls(), ElementsAre(ElementsAre(3, 4, 5)));
}

TEST_F(Recall, ComesBackAheadOfWhatWaits) {
    hold_four();
    stand_still();
    (void)second_;
    submit_many(100);  // w1 has 64 of them
    EXPECT_EQ(first_->give_back({2, 3, 4}), std::nullopt);
    (void)second_->answer({1, 2, 3});
    run();
    const auto now = second_->held_arguments();
    EXPECT_EQ(std::vector<std::string>(now.end() - 3, now.end()), (std::vector<std::string>{"b", "c", "d"}));
}

TEST_F(Recall, WhereLaterCallsOfASessionStayIsNotForgotten) {
    make();
    teach("fast", 1);
    const auto lane = plug_in();
    submit("a");
    auto hint = prepare("b");
    hint->it->session = "s";
    hint->it->affinity = affinity::hint;
    submit(hint);
    const auto stays = submit_strict("c", "s");
    run();
    const auto other = plug_in();
    stand_still();
    ASSERT_THAT(lane->take_recalls(), ElementsAre(ElementsAre(2)));
    EXPECT_EQ(lane->give_back({2}), std::nullopt);
    run();
    ASSERT_THAT(other->held_arguments(), ElementsAre("b"));
    (void)lane->answer_all();
    (void)other->answer_all();
    run();
    EXPECT_TRUE(stays->ran_on("w1"));
    EXPECT_TRUE(hint->ran_on("w2"));
    EXPECT_FALSE(stays->served->moved);
    EXPECT_TRUE(hint->served->moved) << "it was sent after the other one";
}

TEST_F(Recall, ATouchedStreamThatADeadWorkerSaysItGaveBackHasBegun) {
    hold_four();
    auto& last = held_.back();
    last->it->stream = std::make_shared<stream_state>();
    stand_still();
    EXPECT_EQ(first_->yields(4, {"x"}), std::nullopt);
    last_words said;
    said.begun = 4;
    said.done = 4;
    said.replies.push_back({4, value(), false, 0, true});
    first_->unplug(lost, std::move(said));
    run();
    EXPECT_THAT(second_->held_arguments(), ::testing::Not(::testing::Contains("d")));
    EXPECT_TRUE(last->it->stream->has_ended());
}

TEST_F(Recall, ASessionsNextCallTellsFromWhereItReallyMoved) {
    make();
    teach("fast", 1);
    const auto in_session = [&](const char* name) {
        const auto p = prepare(name);
        p->it->session = "s";
        p->it->affinity = affinity::hint;
        return submit(p);
    };
    const auto a = plug_in();
    const auto was_here = in_session("x");
    run();
    (void)a->answer_all();
    board_->suspend(*a->carried());
    const auto b = plug_in();
    submit("long");
    const auto moves = in_session("y");
    run();
    board_->resume(*a->carried());
    stand_still();
    EXPECT_THAT(b->recalls(), ElementsAre(ElementsAre(2)));
    EXPECT_EQ(b->give_back({2}), std::nullopt);
    run();
    (void)a->answer_all();
    run();
    EXPECT_TRUE(moves->ran_on("w1"));
    EXPECT_FALSE(moves->served->moved);
}

// ---- priorities

constexpr credit_rules none{};

TEST_F(Priorities, HaveTheirSharesExactly) {
    make(1, none);
    const auto lane = plug_in();
    submit("running");
    for (int i = 0; i < 64; ++i)
        for (const auto of : {priority::batch, priority::normal, priority::interactive})
            submit(fmt::format("{} {}", to_string(of), i), of);
    run();
    EXPECT_EQ(board_->stats().queued_interactive, 64u);
    EXPECT_EQ(board_->stats().queued_normal, 64u);
    EXPECT_EQ(board_->stats().queued_batch, 64u);
    std::map<std::string, int> next;
    for (int turn = 0; turn < 3 * 21; ++turn) {
        (void)lane->answer_all();
        run();
        const auto got = lane->held_arguments().at(0);
        const auto name = got.substr(0, got.find(' '));
        EXPECT_EQ(got, fmt::format("{} {}", name, next[name]++));  // within a class first come, first served
    }
    EXPECT_EQ(next["interactive"], 3 * 16);
    EXPECT_EQ(next["normal"], 3 * 4);
    EXPECT_EQ(next["batch"], 3 * 1);
}

TEST_F(Priorities, NobodySavesUpTurns) {
    make(1, none);
    const auto lane = plug_in();
    submit("running");
    for (int i = 0; i < 100; ++i) submit("normal", priority::normal);
    for (int i = 0; i < 50; ++i) {
        (void)lane->answer_all();
        run();
    }
    for (int i = 0; i < 100; ++i) submit("batch", priority::batch);
    std::map<std::string, int> served;
    for (int i = 0; i < 50; ++i) {
        (void)lane->answer_all();
        run();
        ++served[lane->held_arguments().at(0)];
    }
    EXPECT_EQ(served["normal"], 40);
    EXPECT_EQ(served["batch"], 10);
}

TEST_F(Priorities, TheCallsOfHostToolsGoAheadOfAll) {
    make(1, none);
    const auto lane = plug_in();
    plug_in();
    const auto outer = submit("outer");
    submit("other");
    submit("interactive", priority::interactive);
    const auto nested = prepare("nested");
    nested->it->parent = outer->it;
    nested->it->priority = priority::batch;
    submit(nested);
    run();
    EXPECT_EQ(board_->stats().queued_batch, 1u);
    (void)lanes_[1]->answer_all();
    run();
    EXPECT_THAT(lanes_[1]->held_arguments(), ElementsAre("nested"));
}

TEST_F(Priorities, AFloodOfOneLeavesTheOthersTheirPlacesInTheQueue) {
    make(1, none, 16);
    plug_in();
    submit("running", priority::batch);
    for (int i = 0; i < 17; ++i) submit("batch", priority::batch);
    EXPECT_EQ(board_->stats().queued_batch, 16u);  // nobody else was there: all of it
    EXPECT_EQ(board_->stats().refused, 1u);
    const auto refused = submit("interactive", priority::interactive);
    run();
    EXPECT_TRUE(refused->failed_with(errc::queue_full));
}

TEST_F(Priorities, TheirPlacesAreKeptOnceTheyWereUsed) {
    make(1, none, 16);
    plug_in();
    submit("running", priority::interactive);
    run();
    (void)lanes_[0]->answer_all();
    submit("running", priority::normal);
    submit("waits", priority::normal);
    std::vector<pending_ptr> flood;
    for (int i = 0; i < 20; ++i) flood.push_back(submit("batch", priority::batch));
    run();
    EXPECT_EQ(board_->stats().queued_batch, 12u);  // 16, but for two interactive calls, one that waits and one more
    EXPECT_TRUE(flood.back()->failed_with(errc::queue_full));
    EXPECT_THAT(flood.back()->outcome->error().message(), HasSubstr("priority"));
    for (int i = 0; i < 3; ++i) submit("interactive", priority::interactive);
    for (int i = 0; i < 3; ++i) submit("normal", priority::normal);
    const auto s = board_->stats();
    EXPECT_EQ(s.queued_interactive, 2u);
    EXPECT_EQ(s.queued_normal, 2u);
}

TEST_F(Priorities, GivenBackCallsKeepClassAndPlace) {
    make(4, none);
    const auto lane = plug_in();
    for (const char* name : {"1", "2", "3", "4"}) submit(name, priority::batch);
    submit("5", priority::batch);
    submit("6", priority::interactive);
    run();
    last_words said;
    said.begun = 1;
    lane->unplug(lost, std::move(said));
    const auto next = plug_in();
    run();
    EXPECT_THAT(next->held_arguments(), ElementsAre("6", "2", "3", "4"));
}

TEST_F(Priorities, StrictCallsThatWaitForTheirWorkerHaveTheShareOfTheirClass) {
    make(1, none);
    const auto lane = plug_in();
    submit_strict("first", "s");
    run();
    for (int i = 0; i < 40; ++i) submit_strict("batch", "s", priority::batch);
    for (int i = 0; i < 40; ++i) submit("interactive", priority::interactive);
    run();
    std::map<std::string, int> served;
    for (int i = 0; i < 34; ++i) {
        (void)lane->answer_all();
        run();
        ++served[lane->held_arguments().at(0)];
    }
    EXPECT_EQ(served["interactive"], 32);
    EXPECT_EQ(served["batch"], 2);
}

TEST_F(Priorities, SlowBatchCallsLeaveTheLastFreeWorkerToInteractiveOnesThatCome) {
    make();
    const auto a = plug_in();
    const auto b = plug_in();
    submit("i1", priority::interactive);
    run();
    (void)a->answer_all();
    (void)b->answer_all();
    for (const char* name : {"b1", "b2"}) submit(name, priority::batch, "slow");
    run();
    EXPECT_EQ(a->held().size() + b->held().size(), 1u);
    const auto i2 = submit("i2", priority::interactive, "slow");
    run();
    EXPECT_EQ(a->held().size() + b->held().size(), 2u);
    // The batch call that goes on is over: the next one has a turn, whoever comes.
    const auto& with_batch = a->held_arguments().at(0) == "b1" ? a : b;
    (void)with_batch->answer_all();
    run();
    EXPECT_THAT(with_batch->held_arguments(), ElementsAre("b2"));
}

TEST_F(Priorities, NobodyIsHeldUpByABatchCallThatIsKeptOff) {
    make();
    const auto a = plug_in({.runs_us = 10'000});
    const auto b = plug_in({.runs_us = 10'000});
    submit("i1", priority::interactive);
    run();
    (void)a->answer_all();
    (void)b->answer_all();
    for (const char* name : {"b1", "b2"}) submit(name, priority::batch, "slow");
    for (const char* name : {"n1", "n2"}) submit(name, priority::normal, "slow");
    run();
    auto held = a->held_arguments();
    for (auto& each : b->held_arguments()) held.push_back(each);
    EXPECT_THAT(held, ::testing::UnorderedElementsAre("b1", "n1"));
    const auto& with_normal = a->held_arguments().at(0) == "n1" ? a : b;
    (void)with_normal->answer_all();
    run();
    EXPECT_THAT(with_normal->held_arguments(), ElementsAre("n2"));
}

TEST_F(Priorities, AnInteractiveStreamThatStaysKeepsNobodyOffTheLastWorker) {
    make();
    const auto a = plug_in();
    const auto b = plug_in();
    const auto c = plug_in();
    const auto stream = prepare("stream");
    stream->it->priority = priority::interactive;
    stream->it->stream = std::make_shared<stream_state>();
    submit(stream);
    run();
    for (const char* name : {"b1", "b2"}) submit(name, priority::batch, "slow");
    run();
    EXPECT_EQ(board_->stats().queued_batch, 1u);
    alarm(2s);
    alarm(2s);
    run();
    EXPECT_EQ(board_->stats().queued_batch, 0u);
    for (const auto& each : {a, b, c}) (void)each->answer_all();
    run();
    EXPECT_TRUE(stream->it->stream->has_ended());
}

TEST_F(Priorities, TheLastWorkerIsFreeAgainWhenNoInteractiveCallCame) {
    make();
    const auto a = plug_in();
    const auto b = plug_in();
    submit("i1", priority::interactive);
    run();
    (void)a->answer_all();
    (void)b->answer_all();
    for (const char* name : {"b1", "b2"}) submit(name, priority::batch, "slow");
    run();
    EXPECT_EQ(board_->stats().queued_batch, 1u);
    EXPECT_GE(alarms_, 1);
    alarm();
    EXPECT_EQ(board_->stats().queued_batch, 1u);
    alarm(2s);
    EXPECT_EQ(board_->stats().queued_batch, 0u);
    const auto before = alarms_;
    alarm();
    EXPECT_EQ(alarms_, before);
}

TEST_F(Priorities, FewerBatchCallsAreHeldInAdvanceWhileInteractiveOnesCome) {
    make();
    teach("fast", 50 - line_credit::call_overhead);
    const auto lane = plug_in();
    submit("i", priority::interactive);
    for (int i = 0; i < 20; ++i) submit("batch", priority::batch);
    run();
    EXPECT_THAT(lane->held(),
                SizeIs(3));  // the interactive one, and two: then there is work for more than a quarter of 500 us
    submit("i", priority::interactive);
    run();
    EXPECT_THAT(lane->held(), SizeIs(4));
}

}  // namespace
}  // namespace snakepit::detail
