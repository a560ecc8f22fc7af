// Calls for the main threads of workers that run others beside them: where they go, and when they are taken back.

#include "pool/limits.hpp"
#include "support/switchboard_fixture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using testing_lane = snakepit::testing::fake_lane;
using pending_ptr = std::shared_ptr<snakepit::testing::pending_call>;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class MainThread : public snakepit::testing::SwitchboardFixture {
protected:
    MainThread() {
        const switchboard::limits allowed{.queue = 100,
                                          .calls_per_line = 8,
                                          .in_flight = max_inflight_bytes,
                                          .sessions = 10,
                                          .credit = {500, 500, 1'000'000, 4ms}};
        const auto deadlocks = std::make_shared<deadlock_watch>();
        board_ = std::make_shared<switchboard>(allowed, [](auto) {}, deadlocks);
        deadlocks->add(board_);
        board_->open();
    }
    std::shared_ptr<testing_lane> plug_in(int width = 4) {
        testing_lane::manners how;
        how.width = width;
        const std::vector<tool_spec> specs{{"main", {}, {}, {}, {"main_thread"}}, {"any", {}, {}, {}, {}}};
        lanes_.push_back(testing_lane::plug_in(*board_, fmt::format("w{}", lanes_.size()), specs, std::move(how)));
        return lanes_.back();
    }
    pending_ptr submit(std::string name, std::string tool = "main", std::string session = {},
                       const pending_ptr& parent = nullptr) {
        auto p = std::make_shared<snakepit::testing::pending_call>();
        if (parent) p->it->parent = parent->it;
        p->it->tool = std::move(tool);
        p->it->arguments = std::move(name);
        if (!session.empty()) p->it->affinity = affinity::hint;
        p->it->session = std::move(session);
        listen(p, io_);
        board_->submit(p->it);
        run();
        return p;
    }
    /// The lines are looked at.
    void look() {
        now_ = std::max(now_, call::clock::now()) + 10ms;
        board_->expire(now_);
        run();
    }

private:
    call::clock::time_point now_;
};

TEST_F(MainThread, GoesRatherWhereItIsIdle) {
    const auto first = plug_in();
    const auto second = plug_in();
    submit("a");
    submit("x", "any");
    submit("y", "any");
    submit("b");
    const auto holds_main = [](const testing_lane& l) {
        const auto held = l.held_arguments();
        return std::count(held.begin(), held.end(), "a") + std::count(held.begin(), held.end(), "b");
    };
    EXPECT_EQ(holds_main(*first), 1);
    EXPECT_EQ(holds_main(*second), 1);
    submit("c");
    EXPECT_EQ(first->held().size() + second->held().size(), 5u) << "where none is idle it goes where there is room";
}

TEST_F(MainThread, WhatWaitsThereGoesToOthersThatAreIdle) {
    const auto first = plug_in();
    for (const char* name : {"a", "b", "c", "d"}) submit(name);
    look();
    look();
    EXPECT_THAT(first->recalls(), IsEmpty()) << "there is nobody else";

    const auto second = plug_in();
    look();
    ASSERT_THAT(first->recalls(), ElementsAre(ElementsAre(2))) << "one is idle";
    look();
    EXPECT_THAT(first->recalls(), ElementsAre(ElementsAre(2))) << "and is not promised twice";
    EXPECT_FALSE(first->give_back({2}));
    run();
    EXPECT_THAT(second->held_arguments(), ElementsAre("b"));
    look();
    look();
    EXPECT_THAT(first->recalls(), ElementsAre(ElementsAre(2))) << "none is idle";

    EXPECT_FALSE(second->answer_all());
    run();
    look();
    EXPECT_THAT(first->take_recalls(), ElementsAre(ElementsAre(2), ElementsAre(3)));
    EXPECT_FALSE(first->answer({1}));
    EXPECT_FALSE(first->answer({3})) << "it had begun meanwhile";
    run();
    EXPECT_EQ(board_->stats().recalled, 1u);
}

TEST_F(MainThread, OneThatMovesOnKeepsItsCalls) {
    const auto first = plug_in();
    for (const char* name : {"a", "b", "c", "d"}) submit(name);
    plug_in();
    look();
    EXPECT_FALSE(first->answer({1}));
    look();
    EXPECT_FALSE(first->answer({2}));
    look();
    EXPECT_THAT(first->recalls(), IsEmpty());
}

TEST_F(MainThread, CallsOfOtherToolsEndBesideItAndSayNothingOfIt) {
    const auto first = plug_in();
    submit("a");
    submit("b");
    plug_in();
    look();
    std::size_t ended = 0;
    for (int i = 0; i < 3; ++i) {
        for (int call = 0; call < 6; ++call) submit("x", "any");
        for (const auto id : first->held()) {
            if (id <= 2) continue;
            EXPECT_FALSE(first->answer({id}));
            ++ended;
        }
        EXPECT_FALSE(lanes_[1]->answer_all());
        look();
    }
    EXPECT_GT(ended, 0u);
    EXPECT_THAT(first->recalls(), ElementsAre(ElementsAre(2)));
}

TEST_F(MainThread, NeitherIsTakenBackWhatNobodyWantsNorWhatIsWhereItsSessionIs) {
    const auto first = plug_in();
    submit("a");
    const auto gone = submit("b");
    submit("c", "main", "s");
    const auto last = submit("d");
    plug_in();
    board_->give_up(*gone->it, errc::cancelled);
    run();
    look();
    look();
    EXPECT_THAT(first->recalls(), ElementsAre(ElementsAre(last->it->id)));
}

TEST_F(MainThread, ACallThereThatWaitsForAnotherOneClosesACircleHoweverMuchRoomThereIs) {
    board_->expect_workers(1);
    const auto lane = plug_in();
    const auto outer = submit("outer");
    const auto inner = submit("inner", "main", {}, outer);
    EXPECT_TRUE(inner->failed_with(errc::would_deadlock));
    EXPECT_TRUE(outer->waits());
    const auto beside = submit("beside", "any");
    const auto innermost = submit("innermost", "any", {}, beside);
    EXPECT_TRUE(innermost->waits());
    EXPECT_THAT(lane->held_arguments(), ElementsAre("outer", "beside", "innermost"));
}

TEST_F(MainThread, IsNoMatterWhereOneCallRunsAtATime) {
    const auto first = plug_in(1);
    submit("a");
    submit("b");
    EXPECT_THAT(first->held_arguments(), ElementsAre("a"));
    const auto second = plug_in(1);
    run();
    EXPECT_THAT(second->held_arguments(), ElementsAre("b"));
    look();
    look();
    EXPECT_THAT(first->recalls(), IsEmpty());
}

TEST_F(MainThread, WhatADeadOneHadWaitingThereGoesElsewhere) {
    const auto first = plug_in();
    const auto ran = submit("a");
    const auto waited = submit("b");
    const auto second = plug_in();
    last_words said;
    said.begun = 2;
    said.running = {1};
    said.waiting = {2};
    first->unplug(error(errc::worker_lost, "it is gone"), std::move(said));
    run();
    EXPECT_TRUE(ran->failed_with(errc::worker_lost));
    EXPECT_TRUE(waited->waits());
    EXPECT_THAT(second->held_arguments(), ElementsAre("b"));
}

}  // namespace
}  // namespace snakepit::detail
