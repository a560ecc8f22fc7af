// Which worker runs the calls of a session.

#include "pool/limits.hpp"
#include "pool/session_homes.hpp"
#include "pool/switchboard.hpp"
#include "support/switchboard_fixture.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace snakepit::detail {
namespace {

using testing_lane = snakepit::testing::fake_lane;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const error lost(errc::worker_lost, "it is gone");

struct pending : snakepit::testing::pending_call {
    std::shared_ptr<served_by> served = std::make_shared<served_by>();

    [[nodiscard]] bool ran_on(const char* worker, bool moved = false) const {
        return ends == 1 && *outcome && served->worker == worker && served->moved == moved;
    }
};
using pending_ptr = std::shared_ptr<pending>;

/// A worker that died with these calls begun.
last_words begun(std::uint64_t last) {
    last_words said;
    said.begun = last;
    return said;
}

/// Workers w0, w1, ... that answer when they are told; the callers live on `io_`. What a call sends names it.
class Affinity : public snakepit::testing::SwitchboardFixture {
protected:
    void make(int workers, int calls_per_line = 1, switchboard::limits allowed = roomy()) {
        allowed.calls_per_line = calls_per_line;
        board_ = std::make_unique<switchboard>(allowed, [](auto) {});
        board_->open();
        for (int i = 0; i < workers; ++i) plug_in();
    }
    static switchboard::limits roomy() { return {.queue = 100, .in_flight = max_inflight_bytes, .sessions = 100}; }
    static switchboard::limits failing() {
        auto l = roomy();
        l.strict_calls = when_worker_goes::fail;
        return l;
    }
    std::shared_ptr<testing_lane> plug_in(std::vector<std::string> tools = {"echo"}) {
        return plug_in_lane({}, std::move(tools));
    }
    pending_ptr prepare(std::string what, std::string session, affinity how) {
        auto p = std::make_shared<pending>();
        p->it->tool = "echo";
        p->it->arguments = std::move(what);
        p->it->affinity = session.empty() ? affinity::none : how;
        p->it->session = std::move(session);
        p->it->served = p->served;
        listen(p, io_);
        return p;
    }
    pending_ptr submit(const pending_ptr& p) {
        board_->submit(p->it);
        run();
        return p;
    }
    pending_ptr strict(std::string what, std::string session) {
        return submit(prepare(std::move(what), std::move(session), affinity::strict));
    }
    pending_ptr hint(std::string what, std::string session) {
        return submit(prepare(std::move(what), std::move(session), affinity::hint));
    }
    pending_ptr fail_fast(std::string what, std::string session) {
        return submit(prepare(std::move(what), std::move(session), affinity::strict_fail_fast));
    }
    pending_ptr plain(std::string what) { return submit(prepare(std::move(what), "", affinity::none)); }
    /// That worker answers all that it holds now.
    void answer(int worker) {
        (void)lanes_[static_cast<std::size_t>(worker)]->answer_all();
        run();
    }
    void answer_everything() {
        for (int i = 0; i < 100 && board_->stats().queued + board_->stats().in_flight != 0; ++i)
            for (const auto& l : lanes_) {
                (void)l->answer_all();
                run();
            }
    }
    [[nodiscard]] std::vector<std::string> held(int worker) const {
        return lanes_[static_cast<std::size_t>(worker)]->held_arguments();
    }
    line& line_of(int worker) { return *lanes_[static_cast<std::size_t>(worker)]->carried(); }
};

class AffinityPlaces : public Affinity {};
class AffinityWaits : public Affinity {};
class AffinityEnds : public Affinity {};
class AffinityForgets : public ::testing::Test {};

// ---- where a call goes

TEST_F(AffinityPlaces, ACallGoesWhereTheSessionsLastOneWent) {
    make(3, 4);
    const auto first = strict("1", "s");
    const auto worker = first->it->on;
    for (int i = 0; i < 3; ++i) plain("x");
    const auto second = strict("2", "s");
    EXPECT_EQ(second->it->on, worker);
    answer_everything();
    EXPECT_FALSE(first->served->moved);
    EXPECT_FALSE(second->served->moved);
    EXPECT_EQ(first->served->worker, second->served->worker);
    EXPECT_EQ(strict("3", "s")->it->on, worker) << "although the others are as free";
}

TEST_F(AffinityPlaces, TwoFirstCallsOfASessionMeet) {
    make(4, 4);
    std::vector<pending_ptr> calls;
    for (int i = 0; i < 3; ++i) {
        calls.push_back(prepare("x", "s", affinity::strict));
        board_->submit(calls.back()->it);  // before any has left
    }
    EXPECT_EQ(calls[0]->it->on, calls[1]->it->on);
    EXPECT_EQ(calls[0]->it->on, calls[2]->it->on);
    answer_everything();
}

TEST_F(AffinityPlaces, TwoFirstCallsMeetAlsoWhenBothWereQueued) {
    make(2);
    for (const int w : {0, 1}) board_->suspend(line_of(w));
    const auto a1 = strict("a1", "a");
    const auto b1 = strict("b1", "b");
    const auto a2 = strict("a2", "a");
    const auto b2 = strict("b2", "b");
    const auto after = plain("after");
    EXPECT_EQ(board_->stats().queued, 5u);
    for (const int w : {0, 1}) board_->resume(line_of(w));
    run();
    EXPECT_THAT(held(0), ElementsAre("a1"));
    EXPECT_THAT(held(1), ElementsAre("b1"));
    answer(1);
    EXPECT_THAT(held(1), ElementsAre("b2"));
    answer(1);
    EXPECT_THAT(held(1), ElementsAre("after"));
    answer(0);
    EXPECT_THAT(held(0), ElementsAre("a2"));
    answer_everything();
    EXPECT_TRUE(a1->ran_on("w0") && a2->ran_on("w0") && b1->ran_on("w1") && b2->ran_on("w1"));
    EXPECT_TRUE(after->ran_on("w1"));
}

TEST_F(AffinityPlaces, AHintIsFollowedWhileThereIsRoom) {
    make(2, 2);
    const auto first = hint("1", "s");
    answer_everything();
    const int home = first->served->worker == "w0" ? 0 : 1;
    hint("2", "s");
    hint("3", "s");
    EXPECT_THAT(held(home), ElementsAre("2", "3")) << "however busy it is";
    const auto elsewhere = hint("4", "s");
    EXPECT_THAT(held(1 - home), ElementsAre("4"));
    answer(1 - home);
    EXPECT_TRUE(elsewhere->served->moved);
    answer(home);
    const auto next = hint("5", "s");
    EXPECT_THAT(held(1 - home), ElementsAre("5")) << "where the last one was served";
    answer_everything();
    EXPECT_FALSE(next->served->moved);
}

TEST_F(AffinityPlaces, WithoutAffinityTheWorkerIsKnownAndNothingMoves) {
    make(2);
    const auto a = submit(prepare("a", "s", affinity::none));
    const auto b = submit(prepare("b", "s", affinity::none));
    answer_everything();
    EXPECT_NE(a->served->worker, b->served->worker);
    EXPECT_FALSE(a->served->moved || b->served->moved);
}

TEST_F(AffinityPlaces, AWorkerWithoutTheToolIsNoHome) {
    make(0, 1);
    plug_in({"other", "echo"});
    const auto a = strict("a", "s");
    answer(0);
    EXPECT_TRUE(a->ran_on("w0"));
    auto b = prepare("b", "s", affinity::strict);
    b->it->tool = "new";
    plug_in({"new"});
    submit(b);
    answer_everything();
    EXPECT_TRUE(b->ran_on("w1", true));
}

TEST_F(AffinityPlaces, TheCallOfAHostToolNeverWaitsAndMovesNothing) {
    make(2);
    const auto outer = strict("outer", "s");
    const int home = held(0).empty() ? 1 : 0;
    auto nested = prepare("nested", "s", affinity::strict);
    nested->it->parent = outer->it;
    submit(nested);
    EXPECT_THAT(held(1 - home), ElementsAre("nested"));
    answer(1 - home);
    EXPECT_TRUE(nested->served->moved);
    const auto next = strict("next", "s");
    EXPECT_TRUE(next->waits());
    answer(home);
    EXPECT_THAT(held(home), ElementsAre("next"));
    answer(home);
    EXPECT_FALSE(next->served->moved);
}

TEST_F(AffinityPlaces, TheCallOfAHostToolDoesNotGoBehindTheOneThatWaitsForIt) {
    make(2, 4);
    const auto outer = strict("outer", "s");
    const int home = held(0).empty() ? 1 : 0;
    for (int i = 0; i < 2; ++i) plain("x");  // it is the less loaded one
    auto nested = prepare("nested", "s", affinity::hint);
    nested->it->parent = outer->it;
    submit(nested);
    EXPECT_EQ(nested->it->on, &line_of(1 - home));
    answer_everything();
}

// ---- waiting for a worker

TEST_F(AffinityWaits, AStrictCallWaitsForItsWorkerAndNobodyForIt) {
    make(2);
    strict("1", "s");
    const int home = held(0).empty() ? 1 : 0;
    const auto second = strict("2", "s");
    EXPECT_EQ(board_->stats().queued, 1u);
    const auto other = plain("other");
    EXPECT_THAT(held(1 - home), ElementsAre("other"));
    answer(1 - home);
    EXPECT_TRUE(second->waits()) << "the free one is not its own";
    answer(home);
    EXPECT_THAT(held(home), ElementsAre("2"));
    answer(home);
    EXPECT_FALSE(second->served->moved);
    EXPECT_EQ(board_->stats().queued, 0u);
}

TEST_F(AffinityWaits, AFailFastCallDoesNot) {
    make(2);
    fail_fast("1", "s");
    const auto busy = fail_fast("2", "s");
    ASSERT_TRUE(busy->failed_with(errc::session_busy));
    EXPECT_EQ(busy->outcome->error().tool(), "echo");
    EXPECT_TRUE(busy->outcome->error().code() == make_error_condition(failure::retry_elsewhere));
    answer_everything();
    EXPECT_TRUE(fail_fast("3", "s")->waits());
}

TEST_F(AffinityWaits, AFailFastCallThatWasQueuedFailsWhenItsSessionHasItsWorker) {
    make(1);
    board_->suspend(line_of(0));
    const auto first = fail_fast("1", "s");
    const auto second = fail_fast("2", "s");
    EXPECT_TRUE(second->waits()) << "for any worker";
    board_->resume(line_of(0));
    run();
    EXPECT_THAT(held(0), ElementsAre("1"));
    EXPECT_TRUE(second->failed_with(errc::session_busy));
}

TEST_F(AffinityWaits, CallsOfASessionKeepTheirOrder) {
    make(2);
    strict("0", "s");
    const int home = held(0).empty() ? 1 : 0;
    for (int i = 1; i < 10; ++i) strict(std::to_string(i), "s");
    for (int i = 0; i < 10; ++i) {
        EXPECT_THAT(held(home), ElementsAre(std::to_string(i)));
        answer(home);
    }
}

TEST_F(AffinityWaits, APlaceGoesToWhoWasLetInFirst) {
    make(1);
    strict("1", "s");
    plain("2");
    strict("3", "s");
    plain("4");
    strict("5", "s");
    for (int i = 1; i <= 5; ++i) {
        EXPECT_THAT(held(0), ElementsAre(std::to_string(i)));
        answer(0);
    }
}

TEST_F(AffinityWaits, AFloodOfOneSessionLeavesTheOthersTheirShare) {
    make(2);
    strict("hot", "hot");
    const int home = held(0).empty() ? 1 : 0;
    plain("x");
    answer(home);
    const auto neighbour = strict("1", "cold");  // it lives with the hot one
    answer(home);
    for (int i = 0; i < 60; ++i) strict("hot", "hot");
    std::vector<pending_ptr> cold;
    for (int i = 2; i < 6; ++i) cold.push_back(strict(std::to_string(i), "cold"));
    std::vector<std::string> order;
    for (int i = 0; i < 9; ++i) {
        order.push_back(held(home).at(0));
        answer(home);
    }
    EXPECT_THAT(order, ElementsAre("hot", "hot", "2", "hot", "3", "hot", "4", "hot", "5"));
    answer(1 - home);
    for (int i = 0; i < 20; ++i) {
        const auto p = plain("plain");
        answer(1 - home);
        EXPECT_EQ(p->ends, 1) << "the other worker is theirs";
    }
    const auto fresh = strict("new", "another");
    answer(1 - home);
    EXPECT_EQ(fresh->ends, 1);
    answer_everything();
}

TEST_F(AffinityWaits, NobodyOvertakesALargeCallThatWaits) {
    auto tight = roomy();
    tight.in_flight = 1000;
    make(1, 10, tight);
    strict("1", "s");
    const auto large = plain(std::string(990, 'x'));
    const auto small = strict("2", "s");
    EXPECT_EQ(board_->stats().queued, 2u);
    answer(0);
    ASSERT_EQ(held(0).size(), 1u);
    EXPECT_EQ(held(0)[0].size(), 990u);
    answer(0);
    EXPECT_THAT(held(0), ElementsAre("2"));
}

TEST_F(AffinityWaits, WhenTheLargeCallLeavesTheOthersGo) {
    auto tight = roomy();
    tight.in_flight = 1000;
    make(1, 10, tight);
    strict("1", "s");
    const auto large = plain(std::string(990, 'x'));
    strict("2", "s");
    board_->give_up(*large->it, errc::cancelled);
    run();
    EXPECT_THAT(held(0), ElementsAre("1", "2"));
}

TEST_F(AffinityWaits, CountsAgainstTheLimitOfTheQueue) {
    auto small = roomy();
    small.queue = 3;
    make(2, 1, small);
    plain("x");
    strict("1", "s");
    strict("2", "s");
    strict("3", "s");
    plain("y");
    EXPECT_EQ(board_->stats().queued, 3u);
    EXPECT_TRUE(strict("4", "s")->failed_with(errc::queue_full));
    EXPECT_TRUE(plain("z")->failed_with(errc::queue_full));
    answer_everything();
}

TEST_F(AffinityWaits, CanBeGivenUp) {
    make(1);
    const auto running = strict("1", "s");
    const auto second = strict("2", "s");
    const auto third = prepare("3", "s", affinity::strict);
    third->it->deadline = call::clock::now() + std::chrono::hours(1);
    submit(third);
    const auto other = strict("4", "t");
    board_->give_up(*second->it, errc::cancelled);
    board_->expire(call::clock::now() + std::chrono::hours(2));
    run();
    EXPECT_TRUE(second->failed_with(errc::cancelled));
    EXPECT_TRUE(third->failed_with(errc::deadline_exceeded));
    EXPECT_EQ(board_->stats().queued, 1u);
    answer(0);
    EXPECT_THAT(held(0), ElementsAre("4"));
    answer(0);
    EXPECT_TRUE(running->ran_on("w0") && other->ran_on("w0"));
}

TEST_F(AffinityWaits, EndsWhenThePoolIsShut) {
    make(1);
    strict("1", "s");
    const auto second = strict("2", "s");
    const auto third = strict("3", "t");
    board_->shut(error(errc::pool_stopped, "enough"));
    run();
    EXPECT_TRUE(second->failed_with(errc::pool_stopped));
    EXPECT_TRUE(third->failed_with(errc::pool_stopped));
    EXPECT_EQ(board_->stats().queued, 0u);
}

// ---- a worker that goes

TEST_F(AffinityEnds, NobodyWaitsForADismissedWorker) {
    make(2);
    strict("1", "s");
    const int home = held(0).empty() ? 1 : 0;
    const auto second = strict("2", "s");
    const auto third = strict("3", "s");
    board_->dismiss(line_of(home));  // it finishes what it has
    run();
    EXPECT_THAT(held(1 - home), ElementsAre("2")) << "in the same turn";
    answer(1 - home);
    EXPECT_THAT(held(1 - home), ElementsAre("3"));
    answer(1 - home);
    EXPECT_TRUE(second->served->moved);
    EXPECT_FALSE(third->served->moved) << "it had moved before";
    answer(home);
}

TEST_F(AffinityEnds, NobodyWaitsForOneThatRetiresOrIsDisconnected) {
    make(3);
    for (const bool retires : {true, false}) {
        const auto first = strict("1", "s");
        const auto at = static_cast<int>(first->it->on == &line_of(0) ? 0 : first->it->on == &line_of(1) ? 1 : 2);
        const auto second = strict("2", "s");
        if (retires) board_->retire(line_of(at));
        else lanes_[static_cast<std::size_t>(at)]->unplug(lost);
        run();
        EXPECT_NE(second->it->on, nullptr);
        answer_everything();
        EXPECT_EQ(second->ends, 1);
        EXPECT_TRUE(*second->outcome && second->served->moved);
    }
}

TEST_F(AffinityEnds, CallsThatWaitKeepTheirOrderWithThoseInTheQueue) {
    make(2);
    strict("1", "s");
    const int home = held(0).empty() ? 1 : 0;
    const auto other = plain("x");
    strict("2", "s");
    plain("3");
    strict("4", "s");
    plain("5");
    lanes_[static_cast<std::size_t>(home)]->unplug(lost);
    run();
    for (int i = 2; i <= 5; ++i) {
        answer(1 - home);
        EXPECT_THAT(held(1 - home), ElementsAre(std::to_string(i)));
    }
    EXPECT_EQ(other->ends, 1);
}

TEST_F(AffinityEnds, WhatADeadOneHadNotBegunMovesAndIsNotTheFirstToDoSo) {
    make(2, 4);
    const auto first = strict("1", "s");
    const auto second = strict("2", "s");
    const int home = held(0).empty() ? 1 : 0;
    lanes_[static_cast<std::size_t>(home)]->unplug(lost, begun(0));
    answer_everything();
    EXPECT_TRUE(first->outcome.has_value() && *first->outcome);
    EXPECT_FALSE(first->served->moved) << "no worker has served this session before";
    EXPECT_FALSE(second->served->moved);
}

TEST_F(AffinityEnds, TheCallAfterADeathIsToldThatItMoved) {
    make(2, 4);
    const auto first = strict("1", "s");
    const int home = held(0).empty() ? 1 : 0;
    lanes_[static_cast<std::size_t>(home)]->unplug(lost);
    run();
    EXPECT_TRUE(first->failed_with(errc::worker_lost));
    const auto second = strict("2", "s");
    answer_everything();
    EXPECT_TRUE(second->served->moved);
}

TEST_F(AffinityEnds, ACallThatWasNotRunDoesNotKeepTheMoveToItself) {
    enum class next_comes { later, before_the_reply, with_the_reply };
    for (const auto when : {next_comes::later, next_comes::before_the_reply, next_comes::with_the_reply}) {
        make(2, 4);
        const auto first = strict("1", "s");
        const int old = held(0).empty() ? 1 : 0;
        const auto at = static_cast<std::size_t>(1 - old);
        answer(old);
        lanes_[static_cast<std::size_t>(old)]->unplug(lost);
        const auto given_up = strict("2", "s");
        const auto next = prepare("3", "s", affinity::strict);
        if (when != next_comes::later) submit(next);
        board_->give_up(*given_up->it, errc::cancelled);
        std::vector<settlement> replies;
        if (when == next_comes::with_the_reply) replies.push_back({next->it->id, value()});  // values come first
        replies.push_back({given_up->it->id, tl::unexpected(error(errc::cancelled, "before it was begun")), false});
        EXPECT_EQ(board_->settle(line_of(1 - old), replies), std::nullopt);
        if (when == next_comes::later) submit(next);
        if (when != next_comes::with_the_reply) lanes_[at]->answer({next->it->id});
        run();
        EXPECT_TRUE(next->ran_on(fmt::format("w{}", at).c_str(), true));
        const auto last = strict("4", "s");
        lanes_[at]->answer({last->it->id});
        run();
        EXPECT_FALSE(last->served->moved) << "it had moved before";
        lanes_.clear();
    }
}

TEST_F(AffinityEnds, AReplacementUnderTheSameNameIsAnotherWorker) {
    make(1);
    const auto first = strict("1", "s");
    answer(0);
    board_->dismiss(line_of(0));
    lanes_[0]->unplug(lost);
    lanes_[0] = testing_lane::plug_in(*board_, "w0", {tool_spec{"echo", {}, {}, {}, {}}}, {});
    const auto second = strict("2", "s");
    answer(0);
    EXPECT_TRUE(first->ran_on("w0"));
    EXPECT_TRUE(second->ran_on("w0", true));
}

TEST_F(AffinityEnds, ASuspendedOneIsWaitedFor) {
    make(2, 4);
    const auto first = strict("1", "s");
    const int home = held(0).empty() ? 1 : 0;
    auto unsent = prepare("2", "s", affinity::strict);
    board_->submit(unsent->it);
    auto impatient = prepare("3", "s", affinity::strict_fail_fast);
    board_->submit(impatient->it);
    board_->suspend(line_of(home));
    run();
    EXPECT_TRUE(impatient->failed_with(errc::session_busy));
    const auto later = strict("4", "s");
    EXPECT_TRUE(fail_fast("5", "s")->failed_with(errc::session_busy));
    EXPECT_THAT(held(1 - home), IsEmpty());
    EXPECT_EQ(board_->stats().queued, 2u);
    const auto hinted = hint("6", "s");
    EXPECT_THAT(held(1 - home), ElementsAre("6"));
    board_->resume(line_of(home));
    run();
    EXPECT_THAT(held(home), ElementsAre("1", "2", "4"));
    answer_everything();
    EXPECT_EQ(first->served->worker, later->served->worker);
    EXPECT_EQ(first->served->worker, unsent->served->worker);
}

TEST_F(AffinityEnds, ASuspendedOneThatGoesIsWaitedForNoMore) {
    make(2, 4);
    strict("1", "s");
    const int home = held(0).empty() ? 1 : 0;
    board_->suspend(line_of(home));
    const auto second = strict("2", "s");
    EXPECT_TRUE(second->waits());
    board_->dismiss(line_of(home));
    run();
    EXPECT_THAT(held(1 - home), ElementsAre("2"));
    board_->resume(line_of(home));
    plain("x");
    plain("y");
    EXPECT_THAT(held(home), ElementsAre("1")) << "it does not come back";
    answer_everything();
}

TEST_F(AffinityEnds, StrictCallsFailWhenThePoolSaysSo) {
    make(2, 1, failing());
    const auto first = strict("1", "s");
    const int home = held(0).empty() ? 1 : 0;
    const auto second = strict("2", "s");
    const auto third = strict("3", "s");
    board_->dismiss(line_of(home));
    run();
    ASSERT_TRUE(second->failed_with(errc::session_moved));
    EXPECT_TRUE(third->failed_with(errc::session_moved));
    EXPECT_THAT(second->outcome->error().message(), HasSubstr("worker has gone"));
    answer(home);
    EXPECT_EQ(first->ends, 1);
    const auto fourth = strict("4", "s");
    EXPECT_THAT(held(1 - home), ElementsAre("4")) << "who has been told is placed anew";
    answer(1 - home);
    EXPECT_TRUE(fourth->served->moved);
}

TEST_F(AffinityEnds, TheNextStrictCallIsToldWhenNoneWaited) {
    make(2, 1, failing());
    const auto first = strict("1", "s");
    answer_everything();
    const int home = first->served->worker == "w0" ? 0 : 1;
    lanes_[static_cast<std::size_t>(home)]->unplug(lost);
    const auto second = strict("2", "s");
    EXPECT_TRUE(second->failed_with(errc::session_moved));
    const auto third = strict("3", "s");
    const auto hinted = hint("4", "t");
    answer_everything();
    EXPECT_TRUE(*third->outcome && third->served->moved);
    EXPECT_TRUE(*hinted->outcome);
}

TEST_F(AffinityEnds, WhatADeadOneHadNotBegunFailsWhenThePoolSaysSo) {
    make(2, 4, failing());
    const auto first = strict("1", "s");
    const auto second = strict("2", "s");
    const auto mild = hint("3", "s");
    const int home = held(0).empty() ? 1 : 0;
    lanes_[static_cast<std::size_t>(home)]->unplug(lost, begun(1));
    run();
    EXPECT_TRUE(first->failed_with(errc::worker_lost));
    EXPECT_TRUE(second->failed_with(errc::session_moved));
    answer_everything();
    EXPECT_TRUE(*mild->outcome);
}

// ---- memory

TEST_F(AffinityForgets, TheLeastRecentlyUsedSession) {
    session_homes homes(3);
    const auto use = [&](const std::string& key) {
        auto& h = homes.hold(key, static_cast<std::uint32_t>(hash_of(key)));
        const bool known = h.line != 0;
        h.line = 7;
        homes.release(h);
        return known;
    };
    for (const auto* key : {"a", "b", "c"}) EXPECT_FALSE(use(key));
    EXPECT_TRUE(use("a"));
    EXPECT_FALSE(use("d"));
    EXPECT_EQ(homes.size(), 3u);
    EXPECT_TRUE(use("a"));
    EXPECT_TRUE(use("c"));
    EXPECT_FALSE(use("b")) << "it was the one that went";
    for (int i = 0; i < 10'000; ++i) use(std::to_string(i));
    EXPECT_EQ(homes.size(), 3u);
}

TEST_F(AffinityForgets, NoSessionThatHasACall) {
    session_homes homes(2);
    std::vector<session_home*> held;
    for (int i = 0; i < 10; ++i) {
        const auto key = std::to_string(i);
        held.push_back(&homes.hold(key, static_cast<std::uint32_t>(hash_of(key))));
        held.back()->line = 7;
    }
    EXPECT_EQ(homes.size(), 10u);
    for (auto* h : held) EXPECT_EQ(h->line, 7u);
    for (auto* h : held) homes.release(*h);
    EXPECT_EQ(homes.size(), 2u);
}

}  // namespace
}  // namespace snakepit::detail
