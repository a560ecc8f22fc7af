#include "pool/switchboard.hpp"

#include "pool/limits.hpp"
#include "support/switchboard_fixture.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using testing_lane = snakepit::testing::fake_lane;
using manners = testing_lane::manners;
using snakepit::testing::received_call;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const error lost(errc::worker_lost, "it is gone");

struct pending : snakepit::testing::pending_call {
    [[nodiscard]] bool has(const value& v) const { return ends == 1 && *outcome && **outcome == v; }
};
using pending_ptr = std::shared_ptr<pending>;

class Switchboard : public snakepit::testing::SwitchboardFixture {
protected:
    void make(switchboard::limits allowed = {.queue = 100, .calls_per_line = 4, .in_flight = max_inflight_bytes}) {
        board_ = std::make_unique<switchboard>(allowed, [this](call::clock::time_point t) { alarms_.push_back(t); });
        board_->open();
    }
    std::shared_ptr<testing_lane> plug_in(manners how = {}, std::vector<std::string> tools = {"echo"}) {
        return plug_in_lane(std::move(how), std::move(tools));
    }
    pending_ptr prepare(std::string arguments, asio::io_context& home, std::string tool = "echo") {
        auto p = std::make_shared<pending>();
        p->it->tool = std::move(tool);
        if (arguments.size() > max_inline_bytes)
            p->it->large = std::make_shared<const std::string>(std::move(arguments));
        else p->it->arguments = std::move(arguments);
        listen(p, home);
        return p;
    }
    pending_ptr submit(pending_ptr p) {
        board_->submit(p->it);
        return p;
    }
    pending_ptr submit(std::string arguments = "x") { return submit(prepare(std::move(arguments), io_)); }
    std::vector<pending_ptr> submit_many(int n) {
        std::vector<pending_ptr> all;
        for (int i = 0; i < n; ++i) all.push_back(submit(std::to_string(i)));
        return all;
    }

    std::vector<call::clock::time_point> alarms_;
};

class SwitchboardAdmission : public Switchboard {};
class SwitchboardDispatch : public Switchboard {};
class SwitchboardFrames : public Switchboard {};
class SwitchboardGiveUp : public Switchboard {};
class SwitchboardDeadlines : public Switchboard {};
class SwitchboardWorkers : public Switchboard {};
class SwitchboardWaiting : public Switchboard {};
class SwitchboardEnd : public Switchboard {};

// ---- admission

TEST_F(SwitchboardAdmission, RefusesCallsBeforeItIsOpen) {
    board_ = std::make_unique<switchboard>(switchboard::limits{10, 1, max_inflight_bytes}, [](auto) {});
    plug_in();
    const auto c = submit();
    run();
    EXPECT_TRUE(c->failed_with(errc::not_started));
    EXPECT_EQ(board_->stats().submitted, 0u);
}

TEST_F(SwitchboardAdmission, RefusesCallsAfterItWasShut) {
    make();
    plug_in();
    board_->shut(error(errc::pool_stopped, "enough"));
    const auto c = submit();
    run();
    EXPECT_TRUE(c->failed_with(errc::pool_stopped));
    EXPECT_EQ(c->outcome->error().tool(), "echo");
    EXPECT_EQ(c->outcome->error().message(), "enough");
}

TEST_F(SwitchboardAdmission, NamesTheNearestToolsWhenThereIsNoSuchTool) {
    make();
    plug_in({}, {"count_words", "summarise"});
    const auto c = submit(prepare("x", io_, "count_word"));
    run();
    ASSERT_TRUE(c->failed_with(errc::unknown_tool));
    EXPECT_THAT(c->outcome->error().message(), HasSubstr("did you mean count_words?"));
}

TEST_F(SwitchboardAdmission, RefusesACallWhoseTimeIsOver) {
    make();
    const auto lane = plug_in({.answers = true});
    const auto c = prepare("x", io_);
    c->it->deadline = call::clock::now();
    submit(c);
    run();
    EXPECT_TRUE(c->failed_with(errc::deadline_exceeded));
    EXPECT_THAT(lane->frames(), IsEmpty());
}

TEST_F(SwitchboardAdmission, SaysHowManyWaitWhenTheQueueIsFull) {
    make({.queue = 3, .calls_per_line = 1, .in_flight = max_inflight_bytes});
    plug_in();
    const auto let_in = submit_many(4);
    const auto refused = submit();
    run();
    ASSERT_TRUE(refused->failed_with(errc::queue_full));
    EXPECT_TRUE(refused->outcome->error().code() == make_error_condition(failure::retry_elsewhere));
    EXPECT_THAT(refused->outcome->error().message(), HasSubstr("3 calls wait already"));
    for (const auto& c : let_in) EXPECT_TRUE(c->waits());
    EXPECT_EQ(board_->stats().refused, 1u);
    EXPECT_EQ(board_->stats().queued, 3u);
}

TEST_F(SwitchboardAdmission, NeedsNoQueueWhileAWorkerIsFree) {
    make({.queue = 0, .calls_per_line = 1, .in_flight = max_inflight_bytes});
    plug_in({.answers = true});
    const auto c = submit("a");
    const auto refused = submit();
    run();
    EXPECT_TRUE(c->has("a"));
    EXPECT_TRUE(refused->failed_with(errc::queue_full));
}

TEST_F(SwitchboardAdmission, ServesCallsInTheOrderInWhichTheyCame) {
    make({.queue = 100, .calls_per_line = 3, .in_flight = max_inflight_bytes});
    std::vector<std::string> order;
    const auto lane = plug_in({.reply = [&](received_call& c) {
        order.push_back(c.arguments);
        return value(c.arguments);
    }});
    const auto calls = submit_many(20);
    for (int i = 0; i < 20; ++i) {
        run();
        (void)lane->answer_all();
    }
    run();
    std::vector<std::string> expected;
    for (int i = 0; i < 20; ++i) expected.push_back(std::to_string(i));
    EXPECT_EQ(order, expected);
    for (const auto& c : calls) EXPECT_EQ(c->ends, 1);
}

TEST_F(SwitchboardAdmission, LetsNobodyOvertakeALargeCallThatWaits) {
    make({.queue = 100, .calls_per_line = 10, .in_flight = 1000});
    const auto lane = plug_in();
    submit(std::string(600, 'a'));
    const auto large = submit(std::string(700, 'b'));
    const auto small = submit("c");
    run();
    EXPECT_THAT(lane->held(), ElementsAre(1));
    EXPECT_EQ(board_->stats().queued, 2u);
    (void)lane->answer({1});
    run();
    EXPECT_THAT(lane->held_arguments(), ElementsAre(std::string(700, 'b'), "c"));
}

TEST_F(SwitchboardAdmission, NeverCompletesBeforeSubmitReturns) {
    make();
    plug_in({.answers = true});
    std::vector<pending_ptr> calls;
    for (int i = 0; i < 200; ++i) {  // some leave at once
        calls.push_back(submit());
        EXPECT_TRUE(calls.back()->waits());
    }
    run();
    for (const auto& c : calls) EXPECT_EQ(c->ends, 1);
}

// ---- dispatch

TEST_F(SwitchboardDispatch, PrefersTheLeastLoadedWorker) {
    make();
    const std::vector lanes{plug_in(), plug_in(), plug_in()};
    for (std::size_t calls = 1; calls <= 4; ++calls) {
        for (int i = 0; i < 3; ++i) submit();
        for (const auto& l : lanes) EXPECT_EQ(board_->load(*l->carried()), calls);
    }
    run();
    (void)lanes[1]->answer({1, 2});
    const auto c = submit("next");
    run();
    EXPECT_EQ(lanes[1]->held_arguments().back(), "next");
}

TEST_F(SwitchboardDispatch, NeverHasMoreCallsAtAWorkerThanItsCredit) {
    make({.queue = 100, .calls_per_line = 4, .in_flight = max_inflight_bytes});
    const auto lane = plug_in();
    const auto calls = submit_many(20);
    run();
    for (std::uint64_t id = 1; id <= 20; ++id) {
        EXPECT_EQ(lane->held().size(), std::min<std::uint64_t>(4, 21 - id));
        (void)lane->answer({id});
    }
    run();
    for (const auto& c : calls) EXPECT_EQ(c->ends, 1);
    EXPECT_EQ(board_->load(*lane->carried()), 0u);
}

TEST_F(SwitchboardDispatch, KeepsTheBytesAtAWorkerWithinTheirCredit) {
    make({.queue = 100, .calls_per_line = 100, .in_flight = max_inflight_bytes});
    const auto lane = plug_in();
    for (int i = 0; i < 10; ++i) submit(std::string(std::size_t{3} << 20, 'a'));
    for (std::uint64_t id = 1; id <= 10; ++id) {
        run();
        EXPECT_EQ(board_->load(*lane->carried()), std::min<std::uint64_t>(2, 11 - id));
        (void)lane->answer({id});
    }
}

TEST_F(SwitchboardDispatch, LetsOneCallAloneExceedTheByteCredit) {
    make();
    const auto lane = plug_in({.answers = true});
    const std::string huge(std::size_t{20} << 20, 'h');
    const auto first = submit("small"), second = submit(huge), third = submit("after it");
    run();
    EXPECT_TRUE(first->has("small"));
    EXPECT_TRUE(second->has(huge));
    EXPECT_TRUE(third->has("after it"));
}

TEST_F(SwitchboardDispatch, UsesEachWorkersOwnNumbersOfTheTools) {
    make();
    std::vector<std::uint32_t> numbers;
    const auto note = [&](received_call& c) {
        numbers.push_back(c.tool);
        return value();
    };
    const auto first = plug_in({.answers = true, .reply = note}, {"a", "b"});
    submit(prepare("", io_, "b"));
    run();
    first->unplug(lost);
    plug_in({.answers = true, .reply = note}, {"b", "a"});
    submit(prepare("", io_, "b"));
    run();
    EXPECT_THAT(numbers, ElementsAre(1u, 0u));
    EXPECT_EQ(board_->tools().size(), 2u);
}

TEST_F(SwitchboardDispatch, EndsACallWhoseToolIsGoneFromTheWorker) {
    make();
    plug_in({}, {"old"})->unplug(lost);
    const auto waiting = submit(prepare("", io_, "old"));
    const auto lane = plug_in({}, {"new"});
    const auto direct = submit(prepare("", io_, "old"));
    run();
    EXPECT_TRUE(waiting->failed_with(errc::unknown_tool));
    EXPECT_TRUE(direct->failed_with(errc::unknown_tool));
    EXPECT_EQ(board_->load(*lane->carried()), 0u);
}

TEST_F(SwitchboardDispatch, NamesToolAndWorkerInAnErrorFromPython) {
    make();
    plug_in({.answers = true,
             .reply = [](received_call&) -> result<value> { return tl::unexpected(error(errc::tool_raised, "no")); }});
    const auto c = submit();
    run();
    ASSERT_TRUE(c->failed_with(errc::tool_raised));
    EXPECT_EQ(c->outcome->error().tool(), "echo");
    EXPECT_EQ(c->outcome->error().worker(), "w0");
    EXPECT_EQ(board_->stats().failed, 1u);
}

TEST_F(SwitchboardDispatch, OffersTheToolsOfItsWorkersOrAllThatThereWereWhileThereIsNone) {
    const auto names = [&] {
        std::vector<std::string> all;
        for (const auto& t : board_->tools()) all.push_back(t.name);
        return all;
    };
    make();
    const auto before = plug_in({}, {"kept", "dropped"});
    const auto after = plug_in({}, {"kept", "added"});  // its module has changed
    EXPECT_THAT(names(), ElementsAre("kept", "dropped", "added"));
    before->unplug(lost);
    EXPECT_THAT(names(), ElementsAre("kept", "added"));
    const auto refused = submit(prepare("", io_, "dropped"));
    after->unplug(lost);
    EXPECT_THAT(names(), ElementsAre("kept", "dropped", "added"));
    const auto misspelt = submit(prepare("", io_, "kep"));
    const auto waiting = submit(prepare("", io_, "dropped"));
    run();
    EXPECT_TRUE(refused->failed_with(errc::unknown_tool));
    ASSERT_TRUE(misspelt->failed_with(errc::unknown_tool));
    EXPECT_THAT(misspelt->outcome->error().message(), HasSubstr("did you mean kept?"));
    EXPECT_TRUE(waiting->waits());
    plug_in({.answers = true}, {"dropped"});
    run();
    EXPECT_TRUE(waiting->has(""));
}

TEST_F(SwitchboardDispatch, CountsACallByTheErrorOfItsWorker) {
    make();
    auto next = errc::tool_raised;
    plug_in(
        {.answers = true, .reply = [&](received_call&) -> result<value> { return tl::unexpected(error(next, "no")); }});
    for (const auto why : {errc::deadline_exceeded, errc::cancelled, errc::tool_raised, errc::bad_arguments}) {
        next = why;
        const auto c = submit();
        run();
        EXPECT_TRUE(c->failed_with(why));
    }
    const auto s = board_->stats();
    EXPECT_EQ(s.expired, 1u);
    EXPECT_EQ(s.cancelled, 1u);
    EXPECT_EQ(s.failed, 2u);
}

// ---- frames

TEST_F(SwitchboardFrames, AFirstCallLeavesAloneBehindWhatIsReady) {
    make();
    const auto lane = plug_in();
    submit();
    EXPECT_THAT(lane->frames(), IsEmpty());
    run();
    ASSERT_EQ(lane->frames().size(), 1u);
    EXPECT_THAT(lane->frames()[0].calls, ElementsAre(1));
}

TEST_F(SwitchboardFrames, ABurstFromReadyHandlersLeavesAsOneFrame) {
    make({.queue = 100, .calls_per_line = 100, .in_flight = max_inflight_bytes});
    const auto lane = plug_in();
    for (int i = 0; i < 20; ++i) asio::post(io_, [this] { submit(); });
    run();
    ASSERT_EQ(lane->frames().size(), 1u);
    EXPECT_EQ(lane->frames()[0].calls.size(), 20u);
}

TEST_F(SwitchboardFrames, SixtyFourCallsLeaveAtOnce) {
    make({.queue = 0, .calls_per_line = 200, .in_flight = max_inflight_bytes});
    const auto lane = plug_in();
    for (std::size_t i = 1; i < eager_flush_items; ++i) submit();
    EXPECT_THAT(lane->frames(), IsEmpty());
    submit();
    ASSERT_EQ(lane->frames().size(), 1u);
    EXPECT_EQ(lane->frames()[0].calls.size(), eager_flush_items);
    submit();  // the flush that was posted is not enough for this one when it has run before
    run();
    EXPECT_EQ(lane->held().size(), eager_flush_items + 1);
}

TEST_F(SwitchboardFrames, SixtyFourKilobytesLeaveAtOnce) {
    make();
    const auto lane = plug_in();
    submit(std::string(eager_flush_bytes / 2, 'a'));
    EXPECT_THAT(lane->frames(), IsEmpty());
    submit(std::string(eager_flush_bytes / 2, 'b'));
    EXPECT_EQ(lane->frames().size(), 1u);
}

TEST_F(SwitchboardFrames, GatherWhileOneIsBeingWritten) {
    make({.queue = 0, .calls_per_line = 1000, .in_flight = max_inflight_bytes});
    const auto lane = plug_in({.writes_end = false});
    submit();
    run();
    const auto flushes = lane->flushes();
    for (int i = 0; i < 100; ++i) submit();
    run();
    EXPECT_EQ(lane->frames().size(), 1u);
    EXPECT_EQ(lane->flushes(), flushes) << "nobody should have tried";
    lane->end_write();
    ASSERT_EQ(lane->frames().size(), 2u);
    EXPECT_EQ(lane->frames()[1].calls.size(), 100u);
}

TEST_F(SwitchboardFrames, AreNotTouchedWhileTheyAreBeingWritten) {
    make();
    const auto lane = plug_in({.writes_end = false});
    submit();
    run();
    out_frame mine;
    mine.calls.emplace_back().id = 7;
    EXPECT_FALSE(board_->take(*lane->carried(), mine));
    EXPECT_EQ(mine.calls.size(), 1u);
}

TEST_F(SwitchboardFrames, DoNotWaitForAFlushOnAnotherExecutor) {
    make();
    const auto lane = plug_in();
    asio::io_context busy;
    const auto stuck = submit(prepare("a", busy));
    const auto mine = submit("b");
    run();
    EXPECT_THAT(lane->held_arguments(), ElementsAre("a", "b"));
    (void)lane->answer_all();
    busy.run();
    EXPECT_TRUE(stuck->has("a"));
}

TEST_F(SwitchboardFrames, LeaveAfterTheCallThatPostedTheFlushWasGivenUp) {
    make();
    const auto lane = plug_in();
    asio::io_context busy;
    const auto first = submit(prepare("a", busy));
    board_->give_up(*first->it, errc::cancelled);
    submit("b");
    run();
    EXPECT_THAT(lane->held_arguments(), ElementsAre("b"));
    busy.run();
}

TEST_F(SwitchboardFrames, HaveNoMoreItemsThanAllowed) {
    make({.queue = 10'000, .calls_per_line = 4096, .in_flight = max_inflight_bytes});
    const auto lane = plug_in({.writes_end = false});
    submit_many(2000);
    run();
    for (int i = 0; i < 10; ++i) lane->end_write();
    EXPECT_EQ(lane->held().size(), 2000u);
    EXPECT_LE(lane->frames().size(), 6u);
}

TEST_F(SwitchboardFrames, HaveNoMoreBytesThanAllowed) {
    make({.queue = 10'000, .calls_per_line = 4096, .in_flight = max_inflight_bytes});
    const auto lane = plug_in();
    for (std::size_t i = 0; i < 60; ++i) {
        auto c = prepare(std::string(max_inline_bytes - i * 31, 'a'), io_);
        c->it->session.assign(256, 's');
        submit(c);
    }
    run();
    EXPECT_EQ(lane->held().size(), 60u);
}

TEST_F(SwitchboardFrames, CarryLargeValuesInPieces) {
    make();
    const auto lane = plug_in({.answers = true});
    std::string large;
    for (int i = 0; large.size() < (std::size_t{1} << 20); ++i) large += std::to_string(i);
    const auto c = submit(large);
    const auto least = submit(std::string(max_inline_bytes + 1, 'l'));
    run();
    EXPECT_TRUE(c->has(large));
    EXPECT_TRUE(least->has(std::string(max_inline_bytes + 1, 'l')));
    EXPECT_GE(lane->frames().size(), 4u);
}

TEST_F(SwitchboardFrames, LetSmallCallsPassBetweenThePiecesOfLargeOnes) {
    make({.queue = 100, .calls_per_line = 100, .in_flight = max_inflight_bytes});
    const auto lane = plug_in({.writes_end = false});
    for (int i = 0; i < 5; ++i) submit(std::string(std::size_t{3} << 19, 'a'));
    run();
    for (int i = 0; i < 20; ++i) {
        const auto before = lane->held().size();
        submit("small");
        lane->end_write();
        EXPECT_GT(lane->held().size(), before) << "a small call waited for more than the frame that was being written";
    }
}

TEST_F(SwitchboardFrames, MoveLargeValuesOnWhileSmallCallsFillThem) {
    make({.queue = 0, .calls_per_line = 100'000, .in_flight = std::size_t{1} << 30});
    const auto lane = plug_in({.writes_end = false});
    const auto large = submit(std::string(std::size_t{1} << 20, 'a'));
    run();
    for (int i = 0; i < 10 && !large->it->id; ++i) {
        for (int n = 0; n < 1000; ++n) submit(std::string(300, 's'));
        lane->end_write();
    }
    EXPECT_NE(large->it->id, 0u);
}

TEST_F(SwitchboardFrames, GiveLargeValuesTheirTurns) {
    make({.queue = 0, .calls_per_line = 10, .in_flight = max_inflight_bytes});
    const auto lane = plug_in({.writes_end = false});
    submit(std::string(std::size_t{4} << 20, 'a'));
    submit(std::string(std::size_t{1} << 20, 'b'));
    for (int i = 0; i < 40; ++i) lane->end_write();
    ASSERT_EQ(lane->held().size(), 2u);
    EXPECT_EQ(lane->held_arguments().front().front(), 'b');
}

// ---- giving up

TEST_F(SwitchboardGiveUp, ACallThatWaitsLeavesTheQueue) {
    make({.queue = 100, .calls_per_line = 1, .in_flight = max_inflight_bytes});
    const auto lane = plug_in();
    const auto calls = submit_many(3);
    board_->give_up(*calls[1]->it, errc::cancelled);
    board_->give_up(*calls[1]->it, errc::cancelled);
    run();
    EXPECT_TRUE(calls[1]->failed_with(errc::cancelled));
    EXPECT_EQ(board_->stats().queued, 1u);
    EXPECT_EQ(board_->stats().cancelled, 1u);
    (void)lane->answer({1});
    EXPECT_THAT(lane->held_arguments(), ElementsAre("2"));
    EXPECT_THAT(lane->cancels(), IsEmpty());
}

TEST_F(SwitchboardGiveUp, ALargeCallAtTheHeadLetsTheOthersGo) {
    make({.queue = 100, .calls_per_line = 10, .in_flight = 1000});
    const auto lane = plug_in();
    submit(std::string(800, 'a'));
    const auto large = submit(std::string(900, 'b'));
    submit("c");
    run();
    board_->give_up(*large->it, errc::cancelled);
    run();
    EXPECT_EQ(lane->held().size(), 2u);
}

TEST_F(SwitchboardGiveUp, ACallInTheOutboxIsNeverSent) {
    make({.queue = 100, .calls_per_line = 2, .in_flight = max_inflight_bytes});
    const auto lane = plug_in({.writes_end = false});
    const auto first = submit("a");
    run();
    const auto second = submit("b"), third = submit("c");
    board_->give_up(*second->it, errc::cancelled);
    run();
    EXPECT_TRUE(second->failed_with(errc::cancelled));
    EXPECT_EQ(board_->load(*lane->carried()), 2u) << "the third call has its place";
    lane->end_write();
    EXPECT_THAT(lane->held_arguments(), ElementsAre("a", "c"));
    EXPECT_THAT(lane->cancels(), IsEmpty());
}

TEST_F(SwitchboardGiveUp, ALargeCallPartlySentIsAborted) {
    make({.queue = 100, .calls_per_line = 1, .in_flight = max_inflight_bytes});
    const auto lane = plug_in({.writes_end = false});
    const auto large = submit(std::string(std::size_t{1} << 20, 'a'));
    const auto next = submit("next");
    run();
    ASSERT_EQ(lane->frames().size(), 1u);
    board_->give_up(*large->it, errc::cancelled);
    run();
    EXPECT_TRUE(large->failed_with(errc::cancelled));
    lane->end_write();
    const auto frame = lane->frames().at(1);
    ASSERT_EQ(frame.pieces.size(), 1u);
    EXPECT_EQ(frame.pieces[0].transfer, 1u);
    EXPECT_EQ(frame.pieces[0].size, 0u);
    EXPECT_THAT(lane->held_arguments(), ElementsAre("next"));
    EXPECT_THAT(lane->cancels(), IsEmpty());
}

TEST_F(SwitchboardGiveUp, ALargeCallOfWhichNothingWasSentIsForgottenSilently) {
    make({.queue = 100, .calls_per_line = 10, .in_flight = max_inflight_bytes});
    const auto lane = plug_in({.writes_end = false});
    std::vector<pending_ptr> calls;
    for (int i = 0; i < 4; ++i) calls.push_back(submit(std::string(std::size_t{1} << 20, 'a')));
    run();
    board_->give_up(*calls[3]->it, errc::cancelled);  // its turn has not come: a frame has two pieces
    const auto seen = lane->frames().size();
    lane->end_write();
    const auto next = lane->frames().at(seen);
    for (const auto& p : next.pieces) EXPECT_NE(p.size, 0u);
    for (int i = 0; i < 20; ++i) lane->end_write();
    EXPECT_EQ(lane->held().size(), 3u);
}

TEST_F(SwitchboardGiveUp, ACallThatWasSentKeepsItsPlaceUntilItHasEnded) {
    make({.queue = 100, .calls_per_line = 1, .in_flight = max_inflight_bytes});
    const auto lane = plug_in();
    const auto sent = submit("a"), next = submit("b");
    run();
    board_->give_up(*sent->it, errc::cancelled);
    run();
    EXPECT_TRUE(sent->failed_with(errc::cancelled));
    EXPECT_THAT(lane->cancels(), ElementsAre(1));
    EXPECT_EQ(board_->load(*lane->carried()), 1u);
    EXPECT_THAT(lane->held(), ElementsAre(1));
    EXPECT_EQ(board_->stats().in_flight, 0u);

    (void)lane->answer({1});
    run();
    EXPECT_EQ(board_->stats().late_replies, 1u);
    EXPECT_EQ(board_->stats().succeeded, 0u);
    EXPECT_THAT(lane->held(), ElementsAre(2));
    EXPECT_EQ(sent->ends, 1);
}

TEST_F(SwitchboardGiveUp, ComesTooLateForACallThatHasEnded) {
    make();
    plug_in({.answers = true});
    const auto c = submit("a");
    run();
    board_->give_up(*c->it, errc::cancelled);
    run();
    EXPECT_TRUE(c->has("a"));
    EXPECT_EQ(board_->stats().cancelled, 0u);
}

TEST_F(SwitchboardGiveUp, DoesNothingToACallThatWasNotLetIn) {
    make();
    const auto c = prepare("a", io_);
    board_->give_up(*c->it, errc::cancelled);
    run();
    EXPECT_TRUE(c->waits());
    plug_in({.answers = true});
    submit(c);
    run();
    EXPECT_TRUE(c->has("a"));
}

// ---- deadlines

TEST_F(SwitchboardDeadlines, EndCallsWhereverTheyAre) {
    make({.queue = 100, .calls_per_line = 1, .in_flight = max_inflight_bytes});
    const auto lane = plug_in();
    const auto soon = call::clock::now() + 50ms;
    std::vector<pending_ptr> calls;
    for (int i = 0; i < 3; ++i) {
        calls.push_back(prepare("x", io_));
        calls.back()->it->deadline = soon;
        submit(calls.back());
    }
    const auto patient = submit("patient");
    run();
    ASSERT_FALSE(alarms_.empty());
    EXPECT_GE(alarms_.back(), soon);
    EXPECT_LE(alarms_.back(), soon + 2ms);

    board_->expire(soon - 5ms);
    run();
    for (const auto& c : calls) EXPECT_TRUE(c->waits());
    board_->expire(soon + 1ms);
    run();
    for (const auto& c : calls) EXPECT_TRUE(c->failed_with(errc::deadline_exceeded));
    EXPECT_TRUE(patient->waits());
    EXPECT_THAT(lane->cancels(), ElementsAre(1));
    EXPECT_EQ(board_->stats().expired, 3u);
}

TEST_F(SwitchboardDeadlines, AskTheWorkerOnceForAllThatExpireTogether) {
    make({.queue = 100, .calls_per_line = 10, .in_flight = max_inflight_bytes});
    const auto lane = plug_in();
    const auto soon = call::clock::now() + 50ms;
    for (int i = 0; i < 5; ++i) {
        const auto c = prepare("x", io_);
        c->it->deadline = soon;
        submit(c);
    }
    run();
    board_->expire(soon + 1ms);
    EXPECT_THAT(lane->cancels(), ::testing::UnorderedElementsAre(1, 2, 3, 4, 5));
}

TEST_F(SwitchboardDeadlines, TheAlarmIsSetForTheEarliest) {
    make();
    const auto now = call::clock::now();
    const auto with_timeout = [&](call::clock::duration d) {
        const auto c = prepare("x", io_);
        c->it->deadline = now + d;
        return c;
    };
    plug_in();
    submit(with_timeout(10s));
    submit(with_timeout(20s));
    EXPECT_EQ(alarms_.size(), 1u) << "the second one is not the earliest";
    submit(with_timeout(5s));
    ASSERT_EQ(alarms_.size(), 2u);
    EXPECT_LT(alarms_[1], alarms_[0]);
    board_->expire(now + 6s);
    ASSERT_EQ(alarms_.size(), 3u);
    EXPECT_LE(alarms_[2], now + 10s + 1ms);
    EXPECT_GT(alarms_[2], now + 6s);
}

TEST_F(SwitchboardDeadlines, AreForgottenWithTheirCalls) {
    make();
    plug_in({.answers = true});
    const auto now = call::clock::now();
    const auto c = prepare("x", io_);
    c->it->deadline = now + 10s;
    submit(c);
    run();
    EXPECT_TRUE(c->has("x"));
    const auto before = alarms_.size();
    board_->expire(now + 11s);
    run();
    EXPECT_EQ(alarms_.size(), before);
    EXPECT_EQ(board_->stats().expired, 0u);
}

TEST_F(SwitchboardDeadlines, MayBeAsFarAwayAsTheClockGoes) {
    make();
    const auto lane = plug_in();
    const auto c = prepare("x", io_);
    c->it->deadline = call::clock::time_point::max() - call::clock::duration(1);
    submit(c);
    run();
    EXPECT_GT(alarms_.back(), call::clock::now() + std::chrono::hours(24 * 365));
    board_->expire(call::clock::now() + std::chrono::hours(24 * 365));
    run();
    EXPECT_TRUE(c->waits());
}

// ---- workers

TEST_F(SwitchboardWorkers, ASecondReplyIsABreach) {
    make();
    const auto lane = plug_in();
    const auto c = submit("a");
    run();
    EXPECT_EQ(lane->answer({1}), std::nullopt);
    const auto breach = lane->answer({1});
    ASSERT_TRUE(breach);
    EXPECT_THAT(*breach, HasSubstr("second reply to call 1"));
    run();
    EXPECT_TRUE(c->has("a"));
}

TEST_F(SwitchboardWorkers, AReplyToACallThatWasNeverSentIsABreach) {
    make();
    const auto lane = plug_in();
    const auto calls = submit_many(2);
    run();
    const auto breach = lane->answer({1, 9, 2});
    ASSERT_TRUE(breach);
    EXPECT_THAT(*breach, HasSubstr("reply to call 9"));
    run();
    EXPECT_TRUE(calls[0]->has("0")) << "it came before the breach";
    EXPECT_TRUE(calls[1]->waits());
}

TEST_F(SwitchboardWorkers, ALostOneFailsWhatItWasSentAndNothingElse) {
    make({.queue = 100, .calls_per_line = 4, .in_flight = max_inflight_bytes});
    const auto lane = plug_in({.writes_end = false});
    const auto sent = submit_many(2);
    run();
    const auto unsent = submit_many(4);
    run();
    lane->unplug(lost);
    run();
    for (const auto& c : sent) {
        ASSERT_TRUE(c->failed_with(errc::worker_lost));
        EXPECT_EQ(c->outcome->error().message(), "it is gone");
        EXPECT_EQ(c->outcome->error().tool(), "echo");
    }
    for (const auto& c : unsent) EXPECT_TRUE(c->waits());
    EXPECT_EQ(board_->stats().queued, 4u);

    const auto other = plug_in();
    EXPECT_THAT(other->held_arguments(), ElementsAre("0", "1", "2", "3"));
}

TEST_F(SwitchboardWorkers, LostCallsOfSeveralGoBackInTheOrderInWhichTheyCame) {
    make({.queue = 100, .calls_per_line = 20, .in_flight = max_inflight_bytes});
    const std::vector lanes{plug_in({.writes_end = false}), plug_in({.writes_end = false})};
    submit_many(2);  // one for each: both write from now on
    run();
    const auto large = submit(std::string(std::size_t{1} << 20, 'L'));
    submit_many(10);
    for (const auto& l : lanes) l->unplug(lost);
    run();
    EXPECT_EQ(board_->stats().queued, 11u);
    const auto heir = plug_in({.writes_end = false});
    for (int i = 0; i < 10; ++i) heir->end_write();
    auto got = heir->held_arguments();
    ASSERT_EQ(got.size(), 11u);
    EXPECT_EQ(got.back().size(), std::size_t{1} << 20) << "large values take longer";
    got.pop_back();
    EXPECT_THAT(got, ElementsAre("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"));
}

TEST_F(SwitchboardWorkers, LargeCallsGoBackInOrderWhateverTurnTheyHad) {
    make({.queue = 100, .calls_per_line = 3, .in_flight = max_inflight_bytes});
    const auto lane = plug_in({.writes_end = false});
    for (const char c : {'a', 'b', 'c'}) submit(std::string(std::size_t{1} << 20, c));
    run();  // the first frame has pieces of a and b: c is next
    lane->unplug(lost);
    std::string order;
    const auto heir = plug_in({.answers = true, .reply = [&](received_call& c) {
                                   order += c.arguments.front();
                                   return value(c.arguments.size());
                               }});
    run();
    EXPECT_EQ(order, "abc");
}

TEST_F(SwitchboardWorkers, CallsThatADeadOneHadNotBegunGoToOthersInTheirOrder) {
    make({.queue = 100, .calls_per_line = 4, .in_flight = max_inflight_bytes});
    const auto lane = plug_in();
    const auto calls = submit_many(6);
    run();
    ASSERT_THAT(lane->held(), ElementsAre(1, 2, 3, 4));
    lane->unplug(lost, {.begun = 2, .done = 1, .replies = {}});
    run();
    EXPECT_TRUE(calls[0]->failed_with(errc::worker_lost)) << "its reply is lost";
    EXPECT_TRUE(calls[1]->failed_with(errc::worker_lost)) << "it was running";
    EXPECT_EQ(board_->stats().moved, 2u);
    const auto heir = plug_in();
    run();
    EXPECT_THAT(heir->held_arguments(), ElementsAre("2", "3", "4", "5"));
    (void)heir->answer_all();
    run();
    for (std::size_t i = 2; i < 6; ++i) EXPECT_TRUE(calls[i]->has(std::to_string(i)));
}

TEST_F(SwitchboardWorkers, RepliesThatADeadOneHasLeftReachTheirCallers) {
    make();
    const auto lane = plug_in();
    const auto calls = submit_many(4);
    run();
    (void)lane->answer({1});
    board_->give_up(*calls[1]->it, errc::cancelled);
    run();
    std::vector<settlement> left;
    left.push_back({1, value("again")});  // it had come after all
    left.push_back({2, value("nobody waits")});
    left.push_back({3, value("three")});
    lane->unplug(lost, {.begun = 3, .done = 3, .replies = std::move(left)});
    run();
    EXPECT_TRUE(calls[0]->has("0"));
    EXPECT_TRUE(calls[1]->failed_with(errc::cancelled));
    EXPECT_TRUE(calls[2]->has("three"));
    EXPECT_TRUE(calls[3]->waits()) << "it was not begun";
    EXPECT_EQ(board_->stats().recovered, 1u);
}

TEST_F(SwitchboardWorkers, ACallThatWasCancelledIsNotSentElsewhere) {
    make();
    const auto lane = plug_in();
    const auto calls = submit_many(2);
    run();
    board_->give_up(*calls[1]->it, errc::cancelled);
    lane->unplug(lost, {.begun = 1, .done = 1, .replies = {}});
    run();
    EXPECT_TRUE(calls[1]->failed_with(errc::cancelled));
    EXPECT_EQ(board_->stats().queued, 0u);
}

TEST_F(SwitchboardWorkers, LargeCallsAreSentWholeAgain) {
    make({.queue = 100, .calls_per_line = 4, .in_flight = max_inflight_bytes});
    const auto lane = plug_in();
    const auto small = submit("small");
    const auto large = submit(std::string(std::size_t{1} << 20, 'L'));
    run();
    ASSERT_THAT(lane->held(), ElementsAre(1, 2));
    lane->unplug(lost, {.begun = 1, .done = 0, .replies = {}});
    const auto heir = plug_in();
    run();
    EXPECT_THAT(heir->held_arguments(), ElementsAre(std::string(std::size_t{1} << 20, 'L')));
    EXPECT_TRUE(small->failed_with(errc::worker_lost));
    EXPECT_TRUE(large->waits());
}

TEST_F(SwitchboardWorkers, AnIdempotentCallIsRunAgainOnceThenItIsPoison) {
    make();
    auto lane = plug_in();
    const auto c = prepare("x", io_);
    c->it->idempotent = true;
    submit(c);
    const auto plain = submit("y");
    run();
    lane->unplug(lost, {.begun = 1, .done = 0, .replies = {}});
    run();
    EXPECT_TRUE(c->waits());
    EXPECT_EQ(board_->stats().retried, 1u);
    EXPECT_EQ(board_->stats().moved, 1u) << "the one that was not begun";
    lane = plug_in();
    run();
    EXPECT_THAT(lane->held_arguments(), ElementsAre("x", "y"));
    lane->unplug(lost, {.begun = 1, .done = 0, .replies = {}});
    run();
    EXPECT_TRUE(c->failed_with(errc::poison_call));
    EXPECT_TRUE(plain->waits());
    EXPECT_EQ(board_->stats().retried, 1u);
}

TEST_F(SwitchboardWorkers, WithoutLastWordsTheFirstCallCountsAsTheOneThatRan) {
    make();
    auto lane = plug_in();
    std::vector<pending_ptr> calls;
    for (const char* text : {"a", "b"}) {
        calls.push_back(prepare(text, io_));
        calls.back()->it->idempotent = true;
        submit(calls.back());
    }
    run();
    lane->unplug(lost);
    lane = plug_in();
    run();
    ASSERT_THAT(lane->held_arguments(), ElementsAre("a", "b")) << "both may have run, and may run again";
    lane->unplug(lost);
    run();
    EXPECT_TRUE(calls[0]->failed_with(errc::poison_call));
    EXPECT_TRUE(calls[1]->waits());
}

TEST_F(SwitchboardWorkers, ACallSaysMoreThanItsToolAboutRunningAgain) {
    make();
    tool_spec spec;
    spec.name = "echo";
    spec.flags = {"idempotent"};
    const auto lane = testing_lane::plug_in(*board_, "w0", {spec}, {});
    lanes_.push_back(lane);
    const auto by_tool = submit("a");
    const auto not_this_one = prepare("b", io_);
    not_this_one->it->idempotent = false;
    submit(not_this_one);
    run();
    lane->unplug(lost);
    run();
    EXPECT_TRUE(by_tool->waits());
    EXPECT_TRUE(not_this_one->failed_with(errc::worker_lost));
}

TEST_F(SwitchboardWorkers, RunningAgainHasABudget) {
    make({.queue = 1'000, .calls_per_line = 1, .in_flight = max_inflight_bytes});
    std::uint64_t refused = 0;
    constexpr std::uint64_t calls = 100;
    for (std::uint64_t i = 0; i < calls; ++i) {
        const auto first = plug_in();
        const auto c = prepare("x", io_);
        c->it->idempotent = true;
        submit(c);
        run();
        first->unplug(lost, {.begun = 1, .done = 0, .replies = {}});
        run();
        if (c->failed_with(errc::worker_lost)) {
            EXPECT_THAT(c->outcome->error().message(), HasSubstr("retry budget"));
            ++refused;
            continue;
        }
        const auto second = plug_in();
        run();
        (void)second->answer_all();
        second->unplug(lost);
        run();
        EXPECT_TRUE(c->has("x"));
    }
    EXPECT_EQ(board_->stats().retried + refused, calls);
    EXPECT_LE(board_->stats().retried, 10u + calls / 10);
    EXPECT_GE(board_->stats().retried, 10u + calls / 10 - 1);
}

TEST_F(SwitchboardWorkers, CallsOfADeadOneEndWhenThePoolIsShut) {
    make();
    const auto lane = plug_in();
    const auto calls = submit_many(2);
    calls[1]->it->idempotent = true;
    run();
    board_->shut(error(errc::pool_stopped, "over"));
    lane->unplug(lost, {.begun = 1, .done = 0, .replies = {}});
    run();
    EXPECT_TRUE(calls[0]->failed_with(errc::worker_lost));
    EXPECT_TRUE(calls[1]->failed_with(errc::pool_stopped));
}

TEST_F(SwitchboardWorkers, ALostOneIsHeardNoMore) {
    make();
    const auto lane = plug_in();
    const auto c = submit();
    run();
    const auto l = lane->carried();
    lane->unplug(lost);
    board_->disconnect(*l, lost);
    std::vector<settlement> late;
    late.push_back({1, value("late")});
    EXPECT_EQ(board_->settle(*l, late), std::nullopt);
    out_frame frame;
    EXPECT_FALSE(board_->take(*l, frame));
    board_->written(*l);
    run();
    EXPECT_TRUE(c->failed_with(errc::worker_lost));
}

TEST_F(SwitchboardWorkers, CallsAlreadyAnsweredDoNotFailAgainWithTheirWorker) {
    make();
    const auto lane = plug_in();
    const auto c = submit();
    run();
    board_->give_up(*c->it, errc::cancelled);
    lane->unplug(lost);
    run();
    EXPECT_TRUE(c->failed_with(errc::cancelled));
    EXPECT_EQ(board_->stats().failed, 0u);
}

TEST_F(SwitchboardWorkers, ASuspendedOneFinishesWhatItHasAndGetsNothingNew) {
    make({.queue = 100, .calls_per_line = 4, .in_flight = max_inflight_bytes});
    const auto lane = plug_in({.writes_end = false});
    const auto sent = submit_many(2);
    run();
    const auto unsent = submit_many(2);
    EXPECT_EQ(board_->suspend(*lane->carried()), 2u);
    EXPECT_EQ(board_->suspend(*lane->carried()), 2u);
    const auto later = submit("later");
    lane->end_write();
    run();
    EXPECT_THAT(lane->held(), ElementsAre(1, 2));
    EXPECT_EQ(board_->stats().queued, 3u);
    const auto other = plug_in({.answers = true});
    run();
    EXPECT_TRUE(unsent[0]->has("0"));
    EXPECT_TRUE(unsent[1]->has("1"));
    EXPECT_TRUE(later->has("later"));
    (void)lane->answer_all();
    run();
    EXPECT_TRUE(sent[0]->has("0"));
    EXPECT_TRUE(sent[1]->has("1"));
    EXPECT_EQ(board_->load(*lane->carried()), 0u);
}

TEST_F(SwitchboardWorkers, ASuspendedOneIsToldToForgetWhatItGotAPieceOf) {
    make();
    const auto lane = plug_in({.writes_end = false});
    const auto large = submit(std::string(std::size_t{1} << 20, 'a'));
    run();
    EXPECT_EQ(board_->suspend(*lane->carried()), 0u);
    lane->end_write();
    ASSERT_EQ(lane->frames().size(), 2u);
    EXPECT_EQ(lane->frames()[1].pieces.at(0).size, 0u);
    plug_in({.answers = true});
    run();
    EXPECT_TRUE(large->has(std::string(std::size_t{1} << 20, 'a')));
}

// ---- the end

TEST_F(SwitchboardWorkers, ASuspendedOneMayBeResumedUnlessItsStreamIsGone) {
    make();
    const auto lane = plug_in({.answers = true});
    board_->suspend(*lane->carried());
    const auto waiting = submit();
    run();
    EXPECT_TRUE(waiting->waits());
    board_->resume(*lane->carried());
    run();
    EXPECT_TRUE(waiting->has("x"));
    board_->dismiss(*lane->carried());
    board_->resume(*lane->carried());
    const auto late = submit();
    run();
    EXPECT_TRUE(late->waits());
}

TEST_F(SwitchboardWorkers, AreToldOnceWhenTheyHaveServedWhatWasAgreedUpon) {
    make();
    const auto made = std::make_shared<testing_lane>(*board_, manners{});
    tool_spec echo;
    echo.name = "echo";
    const auto l = board_->connect("w0", {echo}, made, 3);
    std::vector<settlement> replies;
    for (std::uint64_t id = 1; id <= 4; ++id) {
        submit();
        run();
        out_frame frame;
        ASSERT_TRUE(board_->take(*l, frame));
        board_->written(*l);
        replies.assign(1, {id, value()});
        EXPECT_FALSE(board_->settle(*l, replies));
        EXPECT_EQ(made->served_calls(), id < 3 ? 0 : 1);
    }
    run();
    board_->disconnect(*l, lost);
}

TEST_F(SwitchboardWorkers, WhatTheyAreAtIsTheFirstCallThatHasNotEnded) {
    make();
    const auto lane = plug_in();
    const auto at = [&] { return board_->occupation_of(*lane->carried(), 0); };
    EXPECT_FALSE(at().in_live_call || at().has_unwanted || at().asked_at);
    const auto calls = submit_many(2);
    run();
    EXPECT_TRUE(at().in_live_call);
    board_->give_up(*calls[1]->it, errc::cancelled);
    EXPECT_TRUE(at().in_live_call && at().has_unwanted && !at().asked_at) << "the second one waits for the first";
    lane->answer({1});
    EXPECT_TRUE(!at().in_live_call && at().has_unwanted && at().asked_at);
    lane->answer({2});
    EXPECT_FALSE(at().in_live_call || at().has_unwanted || at().asked_at);
}

TEST_F(SwitchboardWorkers, ABatchIsWantedAsLongAsOneOfItsCallsIs) {
    make();
    tool_spec spec;
    spec.name = "echo";
    spec.flags = {"batch:3"};
    const auto lane = testing_lane::plug_in(*board_, "w0", {spec}, {});
    lanes_.push_back(lane);
    const auto at = [&](std::uint64_t begun) { return board_->occupation_of(*lane->carried(), begun); };
    const auto calls = submit_many(4);
    run();
    EXPECT_EQ(board_->at_once(*lane->carried()), 3);
    board_->give_up(*calls[0]->it, errc::cancelled);
    EXPECT_EQ(at(3).last_id, 3u);
    EXPECT_TRUE(at(3).in_live_call && at(3).has_unwanted && !at(3).asked_at) << "two others are wanted";
    board_->give_up(*calls[1]->it, errc::cancelled);
    board_->give_up(*calls[2]->it, errc::cancelled);
    ASSERT_TRUE(at(3).asked_at);
    EXPECT_FALSE(at(3).in_live_call) << "the one behind them is not of the batch";
    EXPECT_EQ(at(3).asked_at, calls[2]->it->given_up_at) << "since the last of them is not";
    EXPECT_EQ(at(~0ull).last_id, 1u) << "which cannot be true";
    lane->answer({1, 2, 3});
    EXPECT_TRUE(at(4).in_live_call && !at(4).asked_at);
    lane->answer({4});
}

TEST_F(SwitchboardWorkers, AllCallsOfABatchWereRunning) {
    make();
    tool_spec spec;
    spec.name = "echo";
    spec.flags = {"batch:3", "idempotent"};
    const auto plug_in_batches = [&] {
        const auto lane = testing_lane::plug_in(*board_, "w0", {spec}, {});
        lanes_.push_back(lane);
        return lane;
    };
    auto lane = plug_in_batches();
    const auto calls = submit_many(4);
    run();
    lane->unplug(lost, {.begun = 3, .done = 1, .replies = {}});
    run();
    EXPECT_EQ(board_->stats().retried, 3u) << "the one whose reply had not left as well";
    EXPECT_EQ(board_->stats().moved, 1u);
    lane = plug_in_batches();
    run();
    ASSERT_EQ(lane->held_arguments().size(), 4u);
    lane->unplug(lost, {.begun = 3, .done = 0, .replies = {}});
    run();
    EXPECT_TRUE(calls[1]->failed_with(errc::poison_call));
    EXPECT_TRUE(calls[2]->failed_with(errc::poison_call));
    EXPECT_TRUE(calls[0]->waits()) << "it did not run when the first worker died";
    EXPECT_TRUE(calls[3]->waits());
}

TEST_F(SwitchboardWorkers, ARetiredOneSaysWhenItHasFinished) {
    make();
    const auto busy = plug_in();
    submit_many(2);
    run();
    const auto l = busy->carried();
    board_->retire(*l);
    const auto later = submit();
    run();
    EXPECT_TRUE(later->waits());
    EXPECT_EQ(board_->stats().queued, 1u);
    busy->answer({1});
    EXPECT_EQ(busy->served_calls(), 0);
    busy->answer({2});
    EXPECT_EQ(busy->served_calls(), 1);
    EXPECT_EQ(board_->ended(*l), 2u);
    const auto other = plug_in({.answers = true});
    run();
    EXPECT_TRUE(later->has("x"));
    board_->retire(*other->carried());
    EXPECT_EQ(board_->load(*other->carried()), 0u);
    EXPECT_EQ(other->served_calls(), 0) << "it had nothing to finish";
}

TEST_F(SwitchboardWaiting, IsToldOfOnce) {
    make({.queue = 100, .calls_per_line = 2, .in_flight = max_inflight_bytes});
    int told = 0;
    const auto lane = plug_in();
    board_->tell_of_waiting([&] { ++told; });
    submit();
    EXPECT_EQ(told, 0) << "it runs at once";
    submit();
    EXPECT_EQ(told, 1) << "behind the other one";
    submit();
    EXPECT_EQ(told, 1);
    board_->tell_of_waiting([&] { ++told; });
    EXPECT_EQ(told, 2) << "what waits already";
    run();
    lane->answer({1, 2});
    run();
    board_->tell_of_waiting([&] { ++told; });
    EXPECT_EQ(told, 2);
    board_->suspend(*lane->carried());
    submit();
    EXPECT_EQ(told, 3) << "in the queue";
    board_->tell_of_waiting(nullptr);
    submit();
    EXPECT_EQ(told, 3);
}

TEST_F(SwitchboardWaiting, IsToldOfWhenCallsComeBack) {
    make();
    int told = 0;
    const auto lane = plug_in();
    board_->tell_of_waiting([&] { ++told; });
    submit();
    board_->suspend(*lane->carried());
    EXPECT_EQ(told, 1);
}

TEST_F(SwitchboardWaiting, IsSeenInTheQueue) {
    make({.queue = 100, .calls_per_line = 1, .in_flight = max_inflight_bytes});
    const auto seen = [&] {
        const auto b = board_->look(true);
        return std::pair(b.waiting, b.too_long);
    };
    const auto lane = plug_in();
    EXPECT_EQ(seen(), std::pair(std::size_t{0}, false));
    submit_many(3);
    run();
    EXPECT_FALSE(board_->look(false).too_long);
    EXPECT_EQ(seen(), std::pair(std::size_t{2}, false)) << "they have just come";
    EXPECT_TRUE(board_->look(false).too_long);
    EXPECT_EQ(seen(), std::pair(std::size_t{2}, true));
    lane->answer_all();
    submit_many(2);
    lane->answer_all();
    EXPECT_EQ(seen(), std::pair(std::size_t{2}, false)) << "others";
    board_->suspend(*lane->carried());
    EXPECT_EQ(seen(), std::pair(std::size_t{2}, true)) << "there is no worker at all";
}

TEST_F(SwitchboardWaiting, IsSeenBehindAnotherCallAtTheWorker) {
    make();
    const auto seen = [&] {
        const auto b = board_->look(true);
        return std::pair(b.waiting, b.too_long);
    };
    const auto lane = plug_in();
    submit_many(3);
    run();
    EXPECT_EQ(seen(), std::pair(std::size_t{2}, false));
    EXPECT_EQ(seen(), std::pair(std::size_t{2}, true));
    lane->answer({1});
    EXPECT_EQ(seen(), std::pair(std::size_t{1}, true)) << "the third waits still";
    lane->answer({2});
    EXPECT_EQ(seen(), std::pair(std::size_t{0}, false));
    submit();
    run();
    EXPECT_EQ(seen(), std::pair(std::size_t{1}, false));
    const auto other = plug_in();
    EXPECT_EQ(seen(), std::pair(std::size_t{1}, false)) << "a worker is free";
    submit();
    run();
    EXPECT_EQ(seen(), std::pair(std::size_t{1}, true));
}

TEST_F(SwitchboardEnd, ClosedForAWhileItRefusesCallsAndEndsThoseThatWait) {
    make();
    plug_in()->unplug(lost);
    const auto waiting = submit();
    board_->close_for(error(errc::pool_degraded, "nothing works"));
    const auto refused = submit();
    board_->reopen();
    const auto later = submit();
    run();
    EXPECT_TRUE(waiting->failed_with(errc::pool_degraded));
    EXPECT_TRUE(refused->failed_with(errc::pool_degraded));
    EXPECT_EQ(refused->outcome->error().message(), "nothing works");
    EXPECT_TRUE(later->waits());
    plug_in({.answers = true});
    run();
    EXPECT_TRUE(later->has("x"));
}

TEST_F(SwitchboardEnd, EveryWaitingCallEndsExactlyOnceWhenShut) {
    make({.queue = 20'000, .calls_per_line = 4, .in_flight = max_inflight_bytes});
    const auto lane = plug_in();
    const auto calls = submit_many(10'000);
    run();
    board_->shut(error(errc::pool_stopped, "stop"));
    board_->shut(error(errc::pool_stopped, "again"));
    run();
    for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(calls[i]->waits()) << "workers may finish";
    for (std::size_t i = 4; i < calls.size(); ++i) ASSERT_TRUE(calls[i]->failed_with(errc::pool_stopped));
    (void)lane->answer_all();
    run();
    for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(calls[i]->has(std::to_string(i)));
}

TEST_F(SwitchboardEnd, CallsThatComeBackAfterItWasShutEnd) {
    make();
    const auto lane = plug_in({.writes_end = false});
    submit();
    run();
    const auto unsent = submit_many(3);
    board_->shut(error(errc::pool_stopped, "stop"));
    lane->unplug(lost);
    run();
    for (const auto& c : unsent) EXPECT_TRUE(c->failed_with(errc::pool_stopped));
}

TEST_F(SwitchboardEnd, EveryCallEndsWhenItIsDestroyed) {
    make({.queue = 100, .calls_per_line = 2, .in_flight = max_inflight_bytes});
    plug_in({.writes_end = false});
    auto calls = submit_many(1);
    run();
    for (const auto& c : submit_many(5)) calls.push_back(c);
    board_->give_up(*calls[0]->it, errc::cancelled);
    board_.reset();
    io_.restart();
    io_.run();
    EXPECT_TRUE(calls[0]->failed_with(errc::cancelled));
    for (std::size_t i = 1; i < calls.size(); ++i) EXPECT_TRUE(calls[i]->failed_with(errc::pool_stopped));
    for (const auto& c : calls) EXPECT_EQ(c->it.use_count(), 1) << "somebody keeps an ended call";
}

}  // namespace
}  // namespace snakepit::detail
