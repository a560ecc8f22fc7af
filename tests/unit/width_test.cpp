// The switchboard and workers that run several calls at once.

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

const error lost(errc::worker_lost, "it is gone");

class Width : public snakepit::testing::SwitchboardFixture {
protected:
    Width() {
        const switchboard::limits allowed{.queue = 100, .calls_per_line = 8, .in_flight = max_inflight_bytes};
        board_ = std::make_unique<switchboard>(allowed, [](auto) {});
        board_->open();
    }
    std::shared_ptr<testing_lane> plug_in(int width) {
        testing_lane::manners how;
        how.width = width;
        return plug_in_lane(std::move(how), {"echo"});
    }
    pending_ptr submit(const std::string& arguments, bool idempotent = false) {
        auto p = std::make_shared<snakepit::testing::pending_call>();
        p->it->tool = "echo";
        p->it->arguments = arguments;
        p->it->idempotent = idempotent;
        listen(p, io_);
        board_->submit(p->it);
        run();
        return p;
    }
    occupation at(const testing_lane& lane) { return board_->occupation_of(*lane.carried(), 0); }
};

TEST_F(Width, ACallThatRunsBesideOthersAndIsNotWantedIsSeen) {
    const auto lane = plug_in(2);
    const auto first = submit("a");
    const auto second = submit("b");
    const auto third = submit("c");
    board_->give_up(*third->it, errc::cancelled);
    EXPECT_TRUE(at(*lane).has_unwanted);
    EXPECT_FALSE(at(*lane).asked_at) << "it has not begun";
    board_->give_up(*second->it, errc::cancelled);
    EXPECT_EQ(at(*lane).asked_at, second->it->given_up_at);
    EXPECT_TRUE(at(*lane).in_live_call) << "somebody waits for the first";
    EXPECT_EQ(at(*lane).id, 1u);
    (void)lane->answer({2});
    EXPECT_EQ(at(*lane).asked_at, third->it->given_up_at) << "the third has begun";
    (void)lane->answer({1, 3});
    run();
    EXPECT_EQ(at(*lane).id, 0u);
    EXPECT_FALSE(first->waits());
}

TEST_F(Width, WhatADeadOneRanIsLostAndNothingElse) {
    const auto lane = plug_in(2);
    std::vector<pending_ptr> calls;
    for (const char* text : {"a", "b", "c", "d"}) calls.push_back(submit(text));
    last_words said;
    said.begun = 3;
    said.running = {1, 3};
    said.replies.push_back({2, value("two")});
    lane->unplug(lost, std::move(said));
    run();
    EXPECT_TRUE(calls[0]->failed_with(errc::worker_lost));
    EXPECT_TRUE(calls[1]->outcome && **calls[1]->outcome == value("two"));
    EXPECT_TRUE(calls[2]->failed_with(errc::worker_lost));
    EXPECT_TRUE(calls[3]->waits());
    EXPECT_EQ(board_->stats().moved, 1u);
}

TEST_F(Width, OnlyWhatRanTwiceWhenAWorkerDiedIsPoison) {
    auto lane = plug_in(2);
    const auto poison = submit("a", true);
    const auto done = submit("b", true);
    const auto behind = submit("c", true);
    for (int death = 0; death < 2; ++death) {
        last_words said;
        said.begun = 2;
        said.running = {1};
        lane->unplug(lost, std::move(said));
        run();
        EXPECT_TRUE(done->waits()) << "its reply is lost, and it may run again";
        lane = plug_in(2);
        run();
    }
    EXPECT_TRUE(poison->failed_with(errc::poison_call));
    EXPECT_TRUE(behind->waits());
}

TEST_F(Width, WithoutLastWordsAsManyCountAsRunningAsThereWasRoomFor) {
    auto lane = plug_in(2);
    std::vector<pending_ptr> calls;
    for (const char* text : {"a", "b", "c"}) calls.push_back(submit(text, true));
    lane->unplug(lost);
    lane = plug_in(2);
    run();
    ASSERT_THAT(lane->held_arguments(), ElementsAre("a", "b", "c"));
    lane->unplug(lost);
    run();
    EXPECT_TRUE(calls[0]->failed_with(errc::poison_call));
    EXPECT_TRUE(calls[1]->failed_with(errc::poison_call));
    EXPECT_TRUE(calls[2]->waits());
}

TEST_F(Width, CallsWaitOnlyBehindAllThatRun) {
    const auto lane = plug_in(2);
    int told = 0;
    board_->tell_of_waiting([&] { ++told; });
    submit("a");
    submit("b");
    EXPECT_EQ(told, 0);
    EXPECT_EQ(board_->look(false).waiting, 0u);
    submit("c");
    EXPECT_EQ(told, 1);
    EXPECT_EQ(board_->look(false).waiting, 1u);
}

}  // namespace
}  // namespace snakepit::detail
