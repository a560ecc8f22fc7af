// Streams between a caller and a fake worker: credit, order, ends, and workers that lie.

#include "pool/limits.hpp"
#include "pool/stream_core.hpp"
#include "pool/stream_state.hpp"
#include "pool/switchboard.hpp"
#include "support/switchboard_fixture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace snakepit::detail {
namespace {

using snakepit::testing::fake_lane;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const error lost(errc::worker_lost, "it is gone");
constexpr auto cost = [](std::size_t bytes) { return stream_cost(bytes); };

class SwitchboardStreams : public snakepit::testing::SwitchboardFixture {
protected:
    /// A stream call in the eyes of its caller.
    struct reader {
        call_ptr it = std::make_shared<call>();
        std::shared_ptr<stream_state> items = std::make_shared<stream_state>();
        int ends = 0;
        std::optional<result<value>> outcome;
    };

    void SetUp() override {
        board_ = std::make_unique<switchboard>(
            switchboard::limits{.queue = 100, .calls_per_line = 4, .in_flight = max_inflight_bytes}, [](auto) {});
        board_->open();
    }
    std::shared_ptr<fake_lane> plug_in(bool writes_end = true) {
        std::vector<tool_spec> tools(3);
        tools[0].name = "plain";
        tools[1].name = "yields";
        tools[1].flags = {"stream", "idempotent"};
        tools[2].name = "reads";
        tools[2].flags = {"stream", "input:x", "idempotent"};
        fake_lane::manners how;
        how.writes_end = writes_end;
        lanes_.push_back(fake_lane::plug_in(*board_, "w" + std::to_string(lanes_.size()), tools, how));
        return lanes_.back();
    }
    std::shared_ptr<reader> open(const std::string& tool) {
        auto r = std::make_shared<reader>();
        r->it->tool = tool;
        r->it->arguments = "x";
        r->it->stream = r->items;
        r->it->done = {[](result<value>) {}, io_.get_executor()};
        board_->submit(r->it);
        run();
        return r;
    }
    void await_end(const std::shared_ptr<reader>& r) {
        const auto credit = r->items->await_end({[r](result<value> outcome) {
                                                     ++r->ends;
                                                     r->outcome = std::move(outcome);
                                                 },
                                                 io_.get_executor()});
        board_->give_credit(*r->it, credit);
        run();
    }
    void expect_end(const std::shared_ptr<reader>& r, errc why) {
        await_end(r);
        ASSERT_EQ(r->ends, 1);
        ASSERT_FALSE(*r->outcome);
        EXPECT_EQ(r->outcome->error(), why);
    }
    std::optional<std::string> take(reader& r) {
        auto t = r.items->take();
        board_->give_credit(*r.it, t.credit);
        return std::move(t.it);
    }
    /// As its caller does, whose handle outlives neither the board nor this.
    void cancel(reader& r) {
        const std::shared_ptr<switchboard> board(std::shared_ptr<void>(), board_.get());
        std::make_shared<stream_core>(io_.get_executor(), r.items, r.it, board, 1'000'000)->cancel();
        run();
    }
    bool sends(reader& r, std::string text) {
        auto who = std::make_shared<stream_state::sender>();
        who->what = std::make_shared<const std::string>(std::move(text));
        who->done = {[this](result<void> sent) { sent_.push_back(sent.has_value()); }, io_.get_executor()};
        const auto kept = who;
        if (r.items->send(who)) return false;
        if (!who) {
            kept->done = {};
            board_->input_ready(*r.it);
        }
        run();
        return true;
    }

    std::vector<bool> sent_;  // ends of those that had to wait
};

TEST_F(SwitchboardStreams, ItemsComeInOrderAndBeforeTheEnd) {
    const auto w = plug_in();
    const auto r = open("yields");
    EXPECT_EQ(w->yields(1, {"a", "b"}), std::nullopt);
    EXPECT_EQ(w->yields(1, {"xx"}, 5), std::nullopt);
    EXPECT_EQ(w->yields(1, {"yyy"}, 5), std::nullopt);
    EXPECT_EQ(w->yields(1, {"c"}), std::nullopt);
    EXPECT_EQ(w->answer({1}), std::nullopt);
    run();
    for (const char* wanted : {"a", "b", "xxyyy", "c"}) EXPECT_EQ(take(*r), wanted);
    const auto last = r->items->take();
    EXPECT_TRUE(last.is_known);
    EXPECT_EQ(last.it, std::nullopt);
    await_end(r);
    ASSERT_TRUE(r->outcome && *r->outcome);
    EXPECT_EQ(**r->outcome, "x");
    await_end(r);
    EXPECT_TRUE(!*r->outcome && r->outcome->error() == errc::stream_ended);
}

TEST_F(SwitchboardStreams, WhoWaitsIsServedInOrder) {
    const auto w = plug_in();
    const auto r = open("yields");
    std::vector<std::string> got;
    for (const std::string who : {"1", "2", "3"}) {
        const auto note = [&got, who](stream_state::item it) { got.push_back(who + it.value_or("-")); };
        EXPECT_EQ(r->items->await_item({note, io_.get_executor()}), 0U);
    }
    EXPECT_EQ(w->yields(1, {"a", "b"}), std::nullopt);
    run();
    EXPECT_THAT(got, ElementsAre("1a", "2b"));
    EXPECT_EQ(w->answer({1}), std::nullopt);
    run();
    EXPECT_THAT(got, ElementsAre("1a", "2b", "3-"));
}

TEST_F(SwitchboardStreams, CreditComesBackAsItemsAreTaken) {
    const auto w = plug_in();
    const auto r = open("yields");
    const std::string item(50'000, 'x');
    std::size_t paid = 0;
    while (paid < stream_window) {  // the last one costs more than is left
        EXPECT_EQ(w->yields(1, {item}), std::nullopt);
        paid += cost(item.size());
    }
    EXPECT_EQ(w->credit_of(1), 0U);
    std::size_t taken = 0;
    while (taken < stream_window / 4) {
        EXPECT_EQ(w->credit_of(1), 0U);
        EXPECT_EQ(take(*r), item);
        taken += cost(item.size());
    }
    EXPECT_EQ(w->credit_of(1), taken);
    EXPECT_EQ(w->yields(1, {item}), std::nullopt);
}

TEST_F(SwitchboardStreams, TheResultAloneGivesCreditForWhatIsDropped) {
    const auto w = plug_in();
    const auto r = open("yields");
    const std::string item(500'000, 'x');
    EXPECT_EQ(w->yields(1, {"a"}), std::nullopt);
    await_end(r);
    EXPECT_EQ(w->yields(1, {item.substr(0, 100'000)}, item.size()), std::nullopt);
    EXPECT_EQ(w->yields(1, {item.substr(100'000)}, item.size()), std::nullopt);
    EXPECT_EQ(w->credit_of(1), cost(1) + cost(item.size()));
    EXPECT_FALSE(r->outcome);
    EXPECT_EQ(w->answer({1}), std::nullopt);
    run();
    EXPECT_TRUE(r->outcome && *r->outcome);
}

TEST_F(SwitchboardStreams, OneThatIsGivenUpEndsWhereverItIs) {
    const auto queued = open("yields");  // no worker yet
    board_->give_up(*queued->it, errc::cancelled);
    expect_end(queued, errc::unknown_tool);  // was refused

    const auto w = plug_in(false);
    const auto first = open("yields");  // in a frame whose write goes on
    const auto outbox = open("yields");
    board_->give_up(*outbox->it, errc::cancelled);
    expect_end(outbox, errc::cancelled);
    EXPECT_THAT(w->cancels(), ElementsAre());

    EXPECT_EQ(w->yields(1, {"a"}), std::nullopt);
    board_->give_up(*first->it, errc::deadline_exceeded);
    EXPECT_THAT(w->cancels(), ElementsAre(1));
    EXPECT_EQ(w->yields(1, {"b"}), std::nullopt);  // under way when it was given up
    EXPECT_EQ(take(*first), "a");
    EXPECT_EQ(take(*first), std::nullopt);
    expect_end(first, errc::deadline_exceeded);
    EXPECT_EQ(board_->load(*w->carried()), 1U);  // its place is free when the worker says so
    EXPECT_EQ(w->answer({1}), std::nullopt);
    EXPECT_EQ(board_->load(*w->carried()), 0U);
    w->end_write();
}

TEST_F(SwitchboardStreams, NoItemComesOnceItIsCancelled) {
    const auto w = plug_in();
    const auto r = open("yields");
    EXPECT_EQ(w->yields(1, {"a"}), std::nullopt);
    cancel(*r);
    EXPECT_EQ(w->yields(1, {"b"}), std::nullopt);
    EXPECT_EQ(take(*r), std::nullopt);
    expect_end(r, errc::cancelled);
}

TEST_F(SwitchboardStreams, NothingIsLostWhenItHasEndedBeforeItIsCancelled) {
    const auto w = plug_in();
    const auto r = open("yields");
    EXPECT_EQ(w->yields(1, {"a", "b"}), std::nullopt);
    EXPECT_EQ(w->answer({1}), std::nullopt);
    cancel(*r);
    EXPECT_EQ(take(*r), "a");
    EXPECT_EQ(take(*r), "b");
    EXPECT_EQ(take(*r), std::nullopt);
    await_end(r);
    EXPECT_TRUE(r->outcome && *r->outcome);
}

TEST_F(SwitchboardStreams, WorkersThatLieAreFoundOut) {
    const auto w = plug_in();
    const auto r = open("reads");
    const auto plain = std::make_shared<snakepit::testing::pending_call>();
    plain->it->tool = "plain";
    listen(plain, io_);
    board_->submit(plain->it);
    run();
    EXPECT_THAT(*w->yields(9, {"a"}), HasSubstr("items of call 9, which it does not hold"));
    EXPECT_THAT(*w->yields(2, {"a"}), HasSubstr("call 2, which is no stream"));
    EXPECT_THAT(*w->uses(2, 1), HasSubstr("credit of call 2, which is no stream"));
    EXPECT_THAT(*w->uses(1, 1), HasSubstr("more input than it was sent"));
    EXPECT_EQ(w->yields(1, {std::string(stream_window, 'x')}, stream_window + 1), std::nullopt);
    EXPECT_THAT(*w->yields(1, {"a"}), HasSubstr("before the one before it was whole"));
    EXPECT_THAT(*w->yields(1, {"ab"}, stream_window + 1), HasSubstr("does not fit"));
    EXPECT_EQ(w->yields(1, {"a"}, stream_window + 1), std::nullopt);
    EXPECT_THAT(*w->yields(1, {"a"}), HasSubstr("beyond its credit"));
    board_->give_up(*r->it, errc::cancelled);
    EXPECT_THAT(*w->yields(1, {"a"}), HasSubstr("beyond its credit"));  // also when nobody listens
    EXPECT_EQ(w->answer({1, 2}), std::nullopt);
    EXPECT_THAT(*w->yields(1, {"a"}), HasSubstr("does not hold"));
    EXPECT_THAT(*w->uses(3, 1), HasSubstr("does not hold"));
}

TEST_F(SwitchboardStreams, OneIsRunAgainWhileNothingWasTouched) {
    auto w = plug_in();
    const auto r = open("reads");
    EXPECT_TRUE(sends(*r, "one"));
    EXPECT_TRUE(sends(*r, "two"));
    EXPECT_EQ(w->input_of(1), "one.two.");
    w->unplug(lost, {.begun = 1, .done = 0, .replies = {}});
    w = plug_in();
    run();
    EXPECT_EQ(w->input_of(1), "one.two.");  // again, from the beginning
    EXPECT_EQ(w->answer({1}), std::nullopt);
    const auto touched = open("yields");
    EXPECT_EQ(w->yields(2, {"a"}), std::nullopt);
    const auto used = open("reads");
    EXPECT_TRUE(sends(*used, "one"));
    EXPECT_EQ(w->uses(3, cost(3)), std::nullopt);
    w->unplug(lost, {.begun = 1, .done = 1, .replies = {}});  // it says that it had begun neither
    EXPECT_EQ(take(*touched), "a");
    expect_end(touched, errc::worker_lost);
    expect_end(used, errc::worker_lost);
}

TEST_F(SwitchboardStreams, AReplyInThePageIsNotBelieved) {
    const auto w = plug_in();
    const auto r = open("yields");
    EXPECT_EQ(w->yields(1, {"a"}), std::nullopt);
    last_words said{.begun = 1, .done = 1, .replies = {}};
    said.replies.push_back({1, value("x")});
    w->unplug(lost, std::move(said));
    EXPECT_EQ(take(*r), "a");
    expect_end(r, errc::worker_lost);  // items may be missing
}

TEST_F(SwitchboardStreams, InputIsTakenUpToItsCreditAndSentInOrder) {
    const auto w = plug_in();
    const auto r = open("reads");
    const std::string large(300'000, 'x');
    std::string wanted;
    for (int i = 0; i < 4; ++i) {
        EXPECT_TRUE(sends(*r, large));
        wanted += large + ".";
    }
    EXPECT_TRUE(sends(*r, "small"));
    EXPECT_TRUE(sent_.empty());
    EXPECT_EQ(w->input_of(1), wanted);  // "small" waits
    EXPECT_EQ(w->uses(1, 2 * cost(large.size())), std::nullopt);
    run();
    EXPECT_THAT(sent_, ElementsAre(true));
    EXPECT_EQ(r->items->finish(), std::nullopt);
    board_->input_ready(*r->it);
    EXPECT_EQ(w->input_of(1), wanted + "small.end");
    EXPECT_FALSE(sends(*r, "more"));
}

TEST_F(SwitchboardStreams, WhoWaitsToSendHearsOfTheEnd) {
    const auto w = plug_in();
    const auto r = open("reads");
    EXPECT_TRUE(sends(*r, std::string(stream_window, 'x')));
    EXPECT_TRUE(sends(*r, "waits"));
    EXPECT_EQ(w->answer({1}), std::nullopt);
    run();
    EXPECT_THAT(sent_, ElementsAre(false));
    EXPECT_FALSE(sends(*r, "more"));
}

TEST_F(SwitchboardStreams, CreditThatComesAfterTheEndIsForNobody) {
    const auto w = plug_in();
    const auto r = open("reads");
    const std::string item(300'000, 'x');
    EXPECT_TRUE(sends(*r, item));
    EXPECT_EQ(w->input_of(1), item + ".");
    board_->give_up(*r->it, errc::cancelled);
    EXPECT_EQ(w->uses(1, cost(item.size())), std::nullopt) << "it was under way";
    EXPECT_EQ(w->answer({1}), std::nullopt);
    EXPECT_EQ(w->uses(1, 1), std::nullopt) << "of a thread that its tool has left behind";
    expect_end(r, errc::cancelled);
}

TEST_F(SwitchboardStreams, PlainCallsOfSuchToolsAreRefused) {
    plug_in();
    for (const char* tool : {"yields", "reads"}) {
        const auto p = std::make_shared<snakepit::testing::pending_call>();
        p->it->tool = tool;
        listen(p, io_);
        board_->submit(p->it);
        run();
        EXPECT_TRUE(p->failed_with(errc::bad_arguments));
    }
    const auto r = open("plain");
    EXPECT_FALSE(sends(*r, "x"));
}

}  // namespace
}  // namespace snakepit::detail
