// The switchboard when there is more to do than can be done in time, when a tool ends its workers, and when a call is
// made a second time.

#include "pool/limits.hpp"
#include "support/switchboard_fixture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using fake_lane = snakepit::testing::fake_lane;
using pending_ptr = std::shared_ptr<snakepit::testing::pending_call>;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Overload : public snakepit::testing::SwitchboardFixture {
protected:
    void make(std::size_t queue = 100, tool_breaker::limits tools = {}, int calls_per_line = 1) {
        switchboard::limits allowed{.queue = queue, .calls_per_line = calls_per_line, .in_flight = max_inflight_bytes};
        allowed.sessions = 100;
        allowed.tools = tools;
        board_ = std::make_shared<switchboard>(allowed, [](auto) {});
        board_->open();
    }
    std::shared_ptr<fake_lane> plug_in(int width = 1, std::uint64_t runs_us = 1) {
        fake_lane::manners how;
        how.width = width;
        how.runs_us = runs_us;
        return plug_in_lane(std::move(how), {"echo", "crash"});
    }
    pending_ptr submit(const std::string& arguments, call::clock::duration timeout = 1h,
                       const std::string& tool = "echo", const std::string& strict_session = "") {
        auto p = std::make_shared<snakepit::testing::pending_call>();
        p->it->tool = tool;
        p->it->arguments = arguments;
        p->it->deadline = call::clock::now() + timeout;
        if (!strict_session.empty()) {
            p->it->session = strict_session;
            p->it->affinity = affinity::strict;
        }
        listen(p, io_);
        board_->submit(p->it);
        run();
        return p;
    }
    /// Until a call that is submitted now with this timeout has less time left than it has waited.
    static void let_half_pass(call::clock::duration timeout) { std::this_thread::sleep_for(timeout / 2 + 1ms); }
    /// What it holds, which is answered then: the order in which calls come to it one by one.
    std::vector<std::string> serve_all(fake_lane& lane) {
        std::vector<std::string> order;
        while (!lane.held().empty()) {
            order.push_back(lane.held_arguments().front());
            (void)lane.answer_all();
            run();
        }
        return order;
    }
};

TEST_F(Overload, TheNewestGoFirstWhileTheOldestAreLateAndThenItIsFirstComeFirstServedAgain) {
    make();
    const auto lane = plug_in();
    const auto running = submit("running");
    for (const char* text : {"old 1", "old 2", "old 3"}) (void)submit(text, 100ms);
    let_half_pass(100ms);
    for (const char* text : {"new 1", "new 2"}) (void)submit(text);
    EXPECT_THAT(serve_all(*lane), ElementsAre("running", "new 2", "new 1", "old 3", "old 2", "old 1"));
    (void)submit("running");
    for (const char* text : {"a", "b", "c"}) (void)submit(text);
    EXPECT_THAT(serve_all(*lane), ElementsAre("running", "a", "b", "c"));
}

TEST_F(Overload, CallsOfAStrictSessionKeepTheirOrder) {
    make();
    const auto lane = plug_in();
    board_->suspend(*lane->carried());
    (void)submit("old", 100ms);
    for (const char* text : {"s1", "s2", "s3"}) (void)submit(text, 100ms, "echo", "s");
    let_half_pass(100ms);
    (void)submit("s4", 1h, "echo", "s");
    board_->resume(*lane->carried());
    run();
    auto order = serve_all(*lane);
    std::erase(order, "old");
    EXPECT_THAT(order, ElementsAre("s1", "s2", "s3", "s4"));
}

TEST_F(Overload, AStrictCallThatWaitsForItsWorkerIsNotPassedByAllThatAreNewer) {
    make();
    const auto lane = plug_in();
    (void)submit("its worker", 1h, "echo", "s");
    (void)submit("late", 100ms);
    (void)submit("strict", 1h, "echo", "s");
    let_half_pass(100ms);
    for (const char* text : {"new 1", "new 2"}) (void)submit(text);
    (void)lane->answer_all();
    run();
    EXPECT_THAT(lane->held_arguments(), ElementsAre("strict")) << "it came before those that are newest";
    (void)serve_all(*lane);
}

TEST_F(Overload, AFullQueueGivesUpALateCallForAFreshOne) {
    make(2);
    const auto lane = plug_in();
    const auto running = submit("running");
    const auto first = submit("first", 100ms);
    const auto second = submit("second", 100ms);
    EXPECT_TRUE(submit("too early", 1h)->failed_with(errc::queue_full)) << "the others can still be served in time";
    let_half_pass(100ms);
    const auto fresh = submit("fresh");
    EXPECT_TRUE(first->failed_with(errc::queue_full));
    EXPECT_THAT(first->outcome->error().message(), HasSubstr("made room"));
    EXPECT_GE(first->outcome->error().retry_after(), 1ms);
    EXPECT_THAT(serve_all(*lane), ElementsAre("running", "fresh", "second"));
    EXPECT_EQ(board_->stats().refused, 1u);
    EXPECT_EQ(board_->stats().failed, 1u);
}

TEST_F(Overload, ARefusalTellsWhenHalfOfTheQueueWillHaveGone) {
    make(100);
    const auto lane = plug_in(1, 20'000);  // as it says
    for (int i = 0; i < 20; ++i) {
        (void)submit("teach");
        (void)lane->answer_all();
    }
    for (int i = 0; i < 101; ++i) (void)submit("waits");
    const auto refused = submit("too many");
    ASSERT_TRUE(refused->failed_with(errc::queue_full));
    EXPECT_GE(refused->outcome->error().retry_after(), 950ms) << "fifty calls of 20 ms";
    EXPECT_LE(refused->outcome->error().retry_after(), 1100ms);
    EXPECT_THAT(refused->outcome->error().message(), HasSubstr("about 1"));
}

error death(int signal, std::string out_of_memory = "") {
    worker_exit how;
    how.code = signal == 0 ? 3 : -1;
    how.signal = signal;
    how.out_of_memory = std::move(out_of_memory);
    return error(errc::worker_lost, "it is gone").with_exit(how);
}

last_words begun(std::uint64_t id) {
    last_words said;
    said.begun = id;
    said.done = id - 1;
    return said;
}

TEST_F(Overload, AToolThatEndsItsWorkersIsRefusedAndTheOthersAreNot) {
    make(100, {3, 50ms});
    for (int i = 0; i < 3; ++i) {
        const auto lane = plug_in();
        const auto crashed = submit("x", 1h, "crash");
        const auto waits = submit("y", 1h, "crash");
        lane->unplug(death(i == 0 ? 0 : SIGSEGV), begun(1));
        run();
        EXPECT_TRUE(crashed->failed_with(errc::worker_lost));
        if (i < 2) {
            EXPECT_TRUE(waits->waits());
            board_->give_up(*waits->it, errc::cancelled);
            EXPECT_EQ(board_->degraded_tools(), "");
            continue;
        }
        EXPECT_THAT(board_->degraded_tools(), HasSubstr("tool crash: it has ended 3 workers"));
        EXPECT_TRUE(waits->failed_with(errc::tool_degraded)) << "it must not go on to the next worker";
        const auto next = plug_in();
        const auto refused = submit("z", 1h, "crash");
        ASSERT_TRUE(refused->failed_with(errc::tool_degraded));
        EXPECT_GE(refused->outcome->error().retry_after(), 1ms);
        EXPECT_LE(refused->outcome->error().retry_after(), 50ms);
        const auto other = submit("fine");
        (void)next->answer_all();
        run();
        EXPECT_FALSE(other->waits());
        EXPECT_FALSE(other->failed_with(errc::tool_degraded));
    }
    // One call is let through after a while; it ends its worker too, and the next one has a reply.
    std::this_thread::sleep_for(60ms);
    const auto probe = submit("probe", 1h, "crash");
    EXPECT_TRUE(probe->waits());
    EXPECT_TRUE(submit("not now", 1h, "crash")->failed_with(errc::tool_degraded));
    lanes_.back()->unplug(death(SIGABRT), begun(2));
    run();
    EXPECT_TRUE(probe->failed_with(errc::worker_lost));
    const auto lane = plug_in();
    EXPECT_TRUE(submit("not yet", 1h, "crash")->failed_with(errc::tool_degraded));
    std::this_thread::sleep_for(60ms);
    const auto good = submit("good", 1h, "crash");
    (void)lane->answer_all();
    run();
    EXPECT_FALSE(good->waits());
    EXPECT_EQ(board_->degraded_tools(), "");
    const auto after = submit("after", 1h, "crash");
    EXPECT_TRUE(after->waits());
    (void)lane->answer_all();
}

TEST_F(Overload, ACallThatIsNotLetInDoesNotUseUpTheTry) {
    make(1, {1, 50ms});
    auto lane = plug_in();
    (void)submit("x", 1h, "crash");
    lane->unplug(death(SIGSEGV), begun(1));
    lane = plug_in();
    (void)submit("runs");
    (void)submit("waits");
    std::this_thread::sleep_for(60ms);
    EXPECT_TRUE(submit("no room", 1h, "crash")->failed_with(errc::queue_full));
    (void)serve_all(*lane);
    EXPECT_TRUE(submit("the try", 1h, "crash")->waits());
    (void)serve_all(*lane);
}

TEST_F(Overload, DeathsThatAreNotTheToolsDoingDoNotCount) {
    make(100, {1, 1h}, 2);
    for (const int signal : {SIGKILL, SIGTERM, SIGINT, SIGHUP}) {
        const auto lane = plug_in();
        (void)submit("x", 1h, "crash");
        lane->unplug(death(signal), begun(1));
    }
    auto lane = plug_in();
    lane->unplug(death(SIGSEGV));  // without a call
    lane = plug_in(2);
    (void)submit("x", 1h, "crash");
    (void)submit("x", 1h, "echo");
    last_words said = begun(2);
    said.running = {1, 2};
    lane->unplug(death(SIGSEGV), said);  // one of two
    run();
    EXPECT_EQ(board_->degraded_tools(), "");
    lane = plug_in();
    (void)submit("x", 1h, "crash");
    lane->unplug(death(SIGKILL, "the kernel has killed it"), begun(1));
    EXPECT_THAT(board_->degraded_tools(), HasSubstr("crash"));
}

TEST_F(Overload, AWorkerThatIsSlowerThanTheOthersIsTakenLast) {
    make();
    const auto fast = plug_in(1, 100);
    const auto slow = plug_in(1, 2'000);
    for (int i = 0; i < 40; ++i) {  // both
        (void)submit("a");
        (void)submit("b");
        (void)slow->answer_all();
        (void)fast->answer_all();
    }
    for (int i = 0; i < 20; ++i) {
        (void)submit("alone");
        EXPECT_EQ(fast->held().size(), 1u);
        (void)fast->answer_all();
    }
    (void)submit("one");
    (void)submit("two");
    EXPECT_EQ(slow->held().size(), 1u) << "it is better than to wait";
    (void)slow->answer_all();
    (void)fast->answer_all();
}

TEST_F(Overload, ASecondAttemptGoesToAnotherWorkerThatIsFree) {
    make();
    const auto one = plug_in();
    const auto first = submit("x");
    const auto second_attempt = [&] {
        auto p = std::make_shared<snakepit::testing::pending_call>();
        p->it->tool = "echo";
        p->it->arguments = "x";
        listen(p, io_);
        return p;
    };
    const auto none_free = second_attempt();
    EXPECT_FALSE(board_->hedge(none_free->it, *first->it));
    none_free->it->done = {};  // which holds it
    const auto two = plug_in();
    const auto second = second_attempt();
    EXPECT_TRUE(board_->hedge(second->it, *first->it));
    run();
    EXPECT_EQ(one->held().size(), 1u);
    EXPECT_EQ(two->held().size(), 1u);
    EXPECT_EQ(board_->stats().hedged, 1u);
    (void)two->answer_all();
    (void)one->answer_all();
    run();
    EXPECT_FALSE(second->waits());
    const auto too_late = second_attempt();
    EXPECT_FALSE(board_->hedge(too_late->it, *first->it)) << "it has ended";
    too_late->it->done = {};
    // Ten at first, and a tenth of the calls.
    int made = 1;
    for (int i = 0; i < 20; ++i) {
        const auto again = submit("x");
        const auto other = second_attempt();
        if (board_->hedge(other->it, *again->it)) ++made;
        else other->it->done = {};
        for (const auto& lane : {one, two}) (void)lane->answer_all();
    }
    EXPECT_GE(made, 10);
    EXPECT_LE(made, 13);
}

}  // namespace
}  // namespace snakepit::detail
