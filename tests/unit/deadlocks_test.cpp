// Host tools that call their pool and wait for each other, in one group of workers and across several.

#include "pool/limits.hpp"
#include "support/switchboard_fixture.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace snakepit::detail {
namespace {

using fake_lane = snakepit::testing::fake_lane;
using pending_ptr = std::shared_ptr<snakepit::testing::pending_call>;
using board_ptr = std::shared_ptr<switchboard>;

class Deadlocks : public snakepit::testing::SwitchboardFixture {
protected:
    board_ptr make_board(std::size_t workers = 1) {
        const switchboard::limits allowed{.queue = 100, .calls_per_line = 8, .in_flight = max_inflight_bytes};
        auto made = std::make_shared<switchboard>(allowed, [](auto) {}, watch_);
        watch_->add(made);
        made->open();
        made->expect_workers(workers);
        return made;
    }
    static std::shared_ptr<fake_lane> plug_in(const board_ptr& board, int width = 1) {
        fake_lane::manners how;
        how.width = width;
        return fake_lane::plug_in(*board, "w", {{"echo", {}, {}, {}, {}}, {"main", {}, {}, {}, {"main_thread"}}},
                                  std::move(how));
    }
    pending_ptr submit(const board_ptr& to, const pending_ptr& parent = nullptr, const std::string& tool = "echo") {
        auto p = std::make_shared<snakepit::testing::pending_call>();
        p->it->tool = tool;
        if (parent) p->it->parent = parent->it;
        listen(p, io_);
        to->submit(p->it);
        io_.restart();
        io_.poll();
        return p;
    }

    const std::shared_ptr<deadlock_watch> watch_ = std::make_shared<deadlock_watch>();
};

TEST_F(Deadlocks, TheCallThatClosesTheCircleEndsAndTheOthersGoOn) {
    const auto only = make_board();
    const auto lane = plug_in(only, 2);
    const auto outer = submit(only);
    const auto inner = submit(only, outer);
    EXPECT_EQ(lane->held().size(), 2u) << "it runs beside the one that waits for it";
    const auto innermost = submit(only, inner);
    EXPECT_TRUE(innermost->failed_with(errc::would_deadlock));
    EXPECT_TRUE(inner->waits());
    (void)lane->answer_all();
    io_.poll();
    EXPECT_FALSE(outer->waits());
    EXPECT_FALSE(watch_->has_calls());
}

TEST_F(Deadlocks, ACircleOverTwoGroupsIsSeen) {
    const auto cpu = make_board();
    const auto io = make_board();
    const auto cpu_lane = plug_in(cpu);
    const auto io_lane = plug_in(io);
    const auto outer = submit(cpu);
    const auto fetch = submit(io, outer);
    EXPECT_EQ(io_lane->held().size(), 1u);
    const auto again = submit(cpu, fetch);
    EXPECT_TRUE(again->failed_with(errc::would_deadlock));
    EXPECT_TRUE(outer->waits());
    EXPECT_TRUE(fetch->waits());
    (void)io_lane->answer_all();
    (void)cpu_lane->answer_all();
}

TEST_F(Deadlocks, AGroupThatWaitsForOneThatMovesIsLeftAlone) {
    const auto cpu = make_board();
    const auto io = make_board();
    const auto cpu_lane = plug_in(cpu);
    const auto io_lane = plug_in(io);
    const auto outer = submit(cpu);
    const auto fetch = submit(io, outer);
    const auto beside = submit(cpu, outer);  // of the same host tool, say: waits until the fetch has ended
    EXPECT_TRUE(beside->waits());
    (void)io_lane->answer_all();
    io_.restart();
    io_.poll();
    EXPECT_FALSE(fetch->waits());
    EXPECT_TRUE(beside->failed_with(errc::would_deadlock)) << "nothing is left that could free its worker";
    (void)cpu_lane->answer_all();
}

TEST_F(Deadlocks, AGroupInWhichOneWorkerIsFreeIsLeftAlone) {
    const auto cpu = make_board(2);
    const auto io = make_board();
    const auto first = plug_in(cpu);
    const auto second = plug_in(cpu);
    const auto io_lane = plug_in(io);
    const auto outer = submit(cpu);
    const auto fetch = submit(io, outer);
    const auto again = submit(cpu, fetch);
    EXPECT_TRUE(again->waits());
    EXPECT_EQ(first->held().size() + second->held().size(), 2u);
    for (const auto& lane : {first, second, io_lane}) (void)lane->answer_all();
}

TEST_F(Deadlocks, AGroupWhoseMainThreadWaitsWhileAnotherThreadWorksIsLeftAlone) {
    const auto cpu = make_board();
    const auto threads = make_board();
    const auto cpu_lane = plug_in(cpu);
    const auto threads_lane = plug_in(threads, 4);
    const auto outer = submit(cpu);
    const auto works = submit(threads, outer);
    const auto holds_main = submit(threads, nullptr, "main");
    const auto behind_outer = submit(cpu, holds_main);
    EXPECT_TRUE(behind_outer->waits()) << "the thread ends, then the outer call, then this one runs";
    EXPECT_TRUE(works->waits());
    (void)threads_lane->answer({1});
    (void)cpu_lane->answer_all();
    io_.restart();
    io_.poll();
    (void)cpu_lane->answer_all();
    (void)threads_lane->answer_all();
    io_.restart();
    io_.poll();
    EXPECT_FALSE(behind_outer->waits());
    EXPECT_FALSE(behind_outer->failed_with(errc::would_deadlock));
}

TEST_F(Deadlocks, WhatAnotherGroupsEndMakesPossibleHappens) {
    const auto cpu = make_board(2);
    const auto threads = make_board();
    const auto cpu_lane = plug_in(cpu);
    const auto other_cpu_lane = plug_in(cpu);
    const auto threads_lane = plug_in(threads, 4);
    const auto holds_main = submit(threads, nullptr, "main");
    const auto asked_by_main = submit(cpu, holds_main);
    const auto asks = submit(cpu);
    const auto held_up = submit(threads, asks);  // not beside a main thread that waits
    EXPECT_EQ(threads_lane->held().size(), 1u);
    const bool is_first = asked_by_main->it->on == cpu_lane->carried().get();
    (void)(is_first ? cpu_lane : other_cpu_lane)->answer({1});
    io_.restart();
    io_.poll();
    EXPECT_FALSE(asked_by_main->waits());
    EXPECT_EQ(threads_lane->held().size(), 2u) << "the main thread goes on";
    (void)threads_lane->answer_all();
    (void)cpu_lane->answer_all();
    (void)other_cpu_lane->answer_all();
}

TEST_F(Deadlocks, ThreeGroupsInACircle) {
    std::vector<board_ptr> boards;
    std::vector<std::shared_ptr<fake_lane>> lanes;
    for (int i = 0; i < 3; ++i) {
        boards.push_back(make_board());
        lanes.push_back(plug_in(boards.back()));
    }
    pending_ptr last;
    for (const auto& board : boards) last = submit(board, last);
    EXPECT_TRUE(last->waits());
    EXPECT_TRUE(submit(boards[0], last)->failed_with(errc::would_deadlock));
    EXPECT_TRUE(submit(boards[2], last)->failed_with(errc::would_deadlock));
    EXPECT_TRUE(last->waits());
    for (const auto& lane : lanes) (void)lane->answer_all();
}

TEST_F(Deadlocks, AnotherPoolsWorkersAreItsOwnMatter) {
    const auto here = make_board();
    const auto lane = plug_in(here);
    const auto outer = submit(here);
    const auto stranger = std::make_shared<switchboard>(
        switchboard::limits{.queue = 100, .calls_per_line = 8, .in_flight = max_inflight_bytes}, [](auto) {});
    stranger->open();
    const auto theirs = plug_in(stranger);
    const auto busy = submit(stranger);
    const auto waiting = submit(stranger, outer);
    EXPECT_TRUE(waiting->waits());
    (void)theirs->answer_all();
    (void)lane->answer_all();
}

}  // namespace
}  // namespace snakepit::detail
