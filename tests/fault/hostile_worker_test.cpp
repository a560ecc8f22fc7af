// Workers that break the protocol, in every way that a frame, a stream or a connection can be broken. The host stays
// up, the call that was held ends with an error that says why, the worker is replaced. (C5, C29, C44)

#include "support/pool_fixture.hpp"

#include "snakepit/v1/work.pb.h"

#include <csignal>
#include <limits>

namespace snakepit::test {
namespace {

class HostileWorker : public LaneTest {
protected:
    [[nodiscard]] pool_options hostile() const {
        auto how = options("hostile");
        how.workers.min = 1;
        return how;
    }
    /// A worker that sends these frames in place of its reply is cut off with that reason, and the next one serves.
    void cut_off_for(std::vector<v1::WorkUp> frames, std::string reason) {
        std::vector<std::string> encoded;
        for (const auto& f : frames) encoded.push_back(f.SerializeAsString());
        cut_off_for(encoded, std::move(reason));
    }
    void cut_off_for(std::vector<std::string> frames, std::string reason) {
        with_pool(hostile(), [&](pool& p) -> awaitable<> {
            value raw = value::array();
            for (const auto& f : frames) raw.push_back(bytes({f.begin(), f.end()}));
            const auto first = co_await p.call<int>("pid");
            CO_ASSERT_OK(first);
            const auto lost = co_await p.execute("send", raw);
            EXPECT_TRUE(failed_saying(lost, errc::worker_lost, reason));
            EXPECT_TRUE(!lost && lost.error().worker() == "w0");
            const auto next = co_await p.call<int>("pid");
            CO_ASSERT_OK(next);
            EXPECT_NE(*next, *first);
            EXPECT_TRUE(eventually([&] { return !is_alive(*first); }));
        });
    }
};
INSTANTIATE_LANES(HostileWorker);

v1::WorkUp reply_to(std::uint64_t id) {
    v1::WorkUp frame;
    frame.add_ids(id);
    frame.add_values("\xc0");
    frame.add_run_us(1);
    return frame;
}

v1::WorkUp piece(std::uint64_t transfer, std::uint64_t offset, std::uint64_t total, std::size_t bytes) {
    v1::WorkUp frame;
    auto& c = *frame.add_chunks();
    c.set_transfer(transfer);
    c.set_offset(offset);
    c.set_total(total);
    c.set_data(std::string(bytes, 'x'));
    return frame;
}

// The call to `pid` was number 1, the one to `send` is number 2.

TEST_P(HostileWorker, RepliesToACallThatWasNeverSent) {
    cut_off_for({reply_to(99)}, "reply to call 99, but only 2 were sent");
}

TEST_P(HostileWorker, RepliesToCallZero) { cut_off_for({reply_to(0)}, "call 0"); }

TEST_P(HostileWorker, RepliesToACallOfLongAgo) { cut_off_for({reply_to(1)}, "second reply to call 1"); }

TEST_P(HostileWorker, RepliesTwiceInOneFrame) {
    auto frame = reply_to(2);
    frame.MergeFrom(reply_to(2));
    with_pool(hostile(), [&](pool& p) -> awaitable<> {
        EXPECT_OK(co_await p.execute("echo", 1));
        const auto text = frame.SerializeAsString();
        const value raw = bytes({text.begin(), text.end()});
        const auto first_reply_counts = co_await p.execute("send", list(raw));
        EXPECT_OK(first_reply_counts);
        CO_ASSERT(co_await comes_true([&] { return p.stats().workers[0].incarnation == 2; }));
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_P(HostileWorker, RepliesWithoutAnOutcome) {
    v1::WorkUp frame;
    frame.add_replies()->set_id(2);
    cut_off_for({frame}, "has no outcome");
}

v1::WorkUp items_of(std::uint64_t call, std::size_t bytes, std::uint64_t total = 0) {
    v1::WorkUp frame;
    auto& items = *frame.mutable_streams()->add_items();
    items.set_call(call);
    items.set_total(total);
    items.add_values(std::string(bytes, '\xc0'));
    return frame;
}

TEST_P(HostileWorker, StreamsForACallThatIsNoStream) { cut_off_for({items_of(2, 1)}, "call 2, which is no stream"); }

TEST_P(HostileWorker, StreamsForACallThatHasEnded) { cut_off_for({items_of(1, 1)}, "which it does not hold"); }

TEST_P(HostileWorker, StreamsAnItemOverTheLimit) {
    cut_off_for({items_of(2, 1, std::uint64_t{1} << 40)}, "an item of 1099511627776 bytes");
}

TEST_P(HostileWorker, StreamsALargeItemInOnePiece) { cut_off_for({items_of(2, 200'000)}, "200000 bytes in one piece"); }

TEST_P(HostileWorker, StreamsMoreItemsThanAFrameMayHave) {
    auto frame = items_of(2, 1);
    for (int i = 0; i < 512; ++i) frame.mutable_streams()->mutable_items(0)->add_values("\xc0");
    cut_off_for({frame}, "513 items");
}

TEST_P(HostileWorker, GivesCreditForInputThatItWasNotSent) {
    v1::WorkUp frame;
    auto& grant = *frame.mutable_streams()->add_grants();
    grant.set_call(2);
    grant.set_bytes(1);
    cut_off_for({frame}, "credit of call 2, which is no stream");
}

TEST_P(HostileWorker, StreamsBeyondItsCredit) {
    with_pool(hostile(), [](pool& p) -> awaitable<> {
        value raw = value::array();
        const auto text = items_of(1, 120'000).SerializeAsString();
        for (int i = 0; i < 10; ++i) raw.push_back(bytes({text.begin(), text.end()}));
        auto s = co_await p.stream("send", raw);
        int came = 0;
        while (came < 5 && co_await s.next()) ++came;  // what came is no value: the stream ends with the first
        EXPECT_EQ(came, 0);
        CO_ASSERT(co_await comes_true([&] { return p.stats().workers[0].incarnation == 2; }));
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_P(HostileWorker, SendsMoreItemsThanAFrameMayHave) {
    v1::WorkUp frame;
    for (int i = 0; i < 513; ++i) frame.MergeFrom(reply_to(2));
    cut_off_for({frame}, "513 items");
}

TEST_P(HostileWorker, RepliesWithColumnsOfDifferentLengths) {
    auto frame = reply_to(2);
    frame.add_ids(3);
    cut_off_for({frame}, "1 values, but 2 ids and 1 times");
}

TEST_P(HostileWorker, SendsALargeValueInOnePiece) {
    auto frame = reply_to(2);
    frame.set_values(0, std::string(200'000, 'x'));
    cut_off_for({frame}, "a value of 200000 bytes in one piece");
}

TEST_P(HostileWorker, SendsAFrameOverTheLimit) {
    auto frame = reply_to(2);
    frame.set_values(0, std::string(300'000, 'x'));
    cut_off_for({frame}, "bytes, 262144 are allowed");
}

TEST_P(HostileWorker, SendsAFrameOverGrpcsLimit) {
    auto frame = reply_to(2);
    frame.set_values(0, std::string(3 << 20, 'x'));
    cut_off_for({frame}, "bytes, 262144 are allowed");
}

TEST_P(HostileWorker, SendsWhatIsNoProtobuf) {
    with_pool(hostile(), [](pool& p) -> awaitable<> {
        const auto first = co_await p.call<int>("pid");
        CO_ASSERT_OK(first);
        // To gRPC this is the end of the stream; the call was done, and its reply is on the worker's page.
        EXPECT_OK(co_await p.execute("send", list(bytes(std::vector<std::uint8_t>(100, 0xff)))));
        EXPECT_EQ(p.stats().recovered, 1u);
        const auto next = co_await p.call<int>("pid");
        CO_ASSERT_OK(next);
        EXPECT_NE(*next, *first);
        EXPECT_TRUE(eventually([&] { return !is_alive(*first); }));
    });
}

TEST_P(HostileWorker, SendsAChunkOfATransferOverTheLimit) {
    cut_off_for({piece(1, 0, std::uint64_t{1} << 40, 10)}, "a transfer of 1099511627776 bytes");
}

TEST_P(HostileWorker, SendsAChunkOfATransferOfAlmostMinusOneBytes) {
    cut_off_for({piece(1, 0, std::numeric_limits<std::uint64_t>::max(), 10)},
                "a transfer of 18446744073709551615 bytes");
}

TEST_P(HostileWorker, OpensMoreTransfersThanItHasCreditFor) {
    cut_off_for({piece(1, 0, 5 << 20, 10), piece(2, 0, 5 << 20, 10)}, "open transfers of more than 8388608 bytes");
}

TEST_P(HostileWorker, BeginsATransferInTheMiddle) { cut_off_for({piece(1, 7, 1 << 20, 10)}, "does not begin at 0"); }

TEST_P(HostileWorker, LeavesAGapInATransfer) {
    cut_off_for({piece(1, 0, 1 << 20, 10), piece(1, 11, 1 << 20, 10)}, "does not fit the others");
}

TEST_P(HostileWorker, ChangesTheTotalOfATransfer) {
    cut_off_for({piece(1, 0, 1 << 20, 10), piece(1, 10, (1 << 20) + 1, 10)}, "does not fit the others");
}

TEST_P(HostileWorker, SendsMoreThanTheTotalOfATransfer) {
    cut_off_for({piece(1, 0, 131'073, 131'072), piece(1, 131'072, 131'073, 2)}, "does not fit the others");
}

TEST_P(HostileWorker, SendsAnEmptyChunk) { cut_off_for({piece(1, 0, 1 << 20, 0)}, "a chunk of 0 bytes"); }

TEST_P(HostileWorker, OpensATransferForAValueThatNeedsNone) {
    cut_off_for({piece(1, 0, 131'072, 10)}, "would have fitted into a frame");
}

TEST_P(HostileWorker, RefersToATransferThatIsNotThere) {
    v1::WorkUp frame;
    auto& r = *frame.add_replies();
    r.set_id(2);
    r.set_transfer(5);
    cut_off_for({frame}, "refers to a transfer that is not complete");
}

v1::WorkUp question_of(std::uint64_t call, const std::string& question) {
    v1::WorkUp frame;
    auto& ask = *frame.add_asks();
    ask.set_number(1'000);
    ask.set_call(call);
    ask.set_question(question);
    return frame;
}

TEST_P(HostileWorker, AsksForACallThatWasNeverSent) {
    v1::Question q;
    q.mutable_names();
    cut_off_for({question_of(99, q.SerializeAsString())}, "a question of call 99, which was not sent");
    cut_off_for({question_of(0, q.SerializeAsString())}, "a question of call 0, which was not sent");
}

TEST_P(HostileWorker, AsksWhatCannotBeRead) {
    cut_off_for({question_of(2, "\x0a\xff")}, "question 1000 cannot be read");
}

TEST_P(HostileWorker, AsksForNothing) { cut_off_for({question_of(2, "")}, "asks for nothing that is known"); }

TEST_P(HostileWorker, AsksInOnePieceWhatIsTooLong) {
    cut_off_for({question_of(2, std::string(200'000, 'x'))}, "a question of 200000 bytes in one piece");
}

TEST_P(HostileWorker, AsksByATransferThatIsNotThere) {
    v1::WorkUp frame;
    auto& ask = *frame.add_asks();
    ask.set_number(1);
    ask.set_call(2);
    ask.set_transfer(5);
    cut_off_for({frame}, "question 1 refers to a transfer that is not complete");
}

TEST_P(HostileWorker, HearsNothingOfASessionThatIsNotItsCalls) {
    with_pool(hostile(), [](pool& p) -> awaitable<> {
        auto alice = p.session("alice");
        const value secret = "secret";
        CO_ASSERT_OK(co_await alice.set("x", secret));
        EXPECT_OK(
            co_await p.execute("pid", value::array(), call_options().session("alice")));  // call 1, which has ended
        v1::Question q;
        q.mutable_write()->add_changes()->set_name("x");  // erase it
        std::uint64_t id = 1;
        for (const std::uint64_t claimed : {1, 3}) {  // alice's call of before; its own, which has no session
            const auto text = question_of(claimed, q.SerializeAsString()).SerializeAsString();
            const value raw = bytes({text.begin(), text.end()});
            EXPECT_OK(co_await p.execute("send", list(raw)));
            ++id;
        }
        const auto still = co_await alice.get("x");
        CO_ASSERT_OK(still);
        CO_ASSERT(still->has_value());
        EXPECT_EQ((*still)->data, secret);
        EXPECT_EQ(p.stats().workers[0].incarnation, 1u);
    });
}

v1::WorkUp write_of(std::uint64_t call, const std::string& name) {
    v1::WorkUp frame;
    frame.add_write_calls(call);
    frame.add_write_sizes(1);
    frame.add_write_names(name);
    frame.add_write_values("\x01");
    return frame;
}

TEST_P(HostileWorker, WritesWhereItMayNot) {
    cut_off_for({write_of(99, "x")}, "a write of call 99, which was not sent");
    cut_off_for({write_of(2, "x")}, "a write of call 2, without a lease");
}

TEST_P(HostileWorker, WritesInColumnsThatDoNotFit) {
    auto frame = write_of(2, "x");
    frame.set_write_sizes(0, 2);
    cut_off_for({frame}, "writes with fewer changes than they say");
    frame.set_write_sizes(0, 0);
    cut_off_for({frame}, "changes that belong nowhere");
    frame.add_write_names("y");
    cut_off_for({frame}, "writes whose columns differ in length");
    frame = write_of(2, "x");
    frame.set_write_values(0, std::string(200'000, 'x'));
    cut_off_for({frame}, "a large value to be written in one piece");
}

TEST_P(HostileWorker, WritesThatAreRefusedFailTheirCallAlone) {
    with_pool(hostile(), [](pool& p) -> awaitable<> {
        const auto in_session = call_options().session("alice");
        std::uint64_t id = 0;
        for (const char* name : {"x", "", "y"}) {
            const auto text = write_of(++id, name).SerializeAsString();
            const value raw = bytes({text.begin(), text.end()});
            const auto sent = co_await p.execute("send", list(raw), in_session);
            if (*name) {
                EXPECT_OK(sent);
            } else {
                EXPECT_TRUE(failed_with(sent, errc::invalid_name));
            }
        }
        const auto names = co_await p.session("alice").keys();
        CO_ASSERT_OK(names);
        EXPECT_EQ(names->size(), 2u);
        EXPECT_EQ(p.stats().workers[0].incarnation, 1u);
    });
}

TEST_P(HostileWorker, ValuesThatCannotBeReadFailTheirCallAlone) {
    with_pool(hostile(), [](pool& p) -> awaitable<> {
        const std::vector<std::string> wrong = {
            "",                         // nothing
            "\xc1",                     // never used
            "\xdd\xff\xff\xff\xff",     // a list of four thousand million
            "\xdf\xff\xff\xff\xff",     // a map, likewise
            "\xa5text",                 // a text that ends too early
            "\xc7\x05\x01xxxxx",        // bytes that pretend to be an array
            "\xc7\x01\x63x",            // an extension that nobody knows
            std::string(2000, '\x91'),  // lists in lists
            "\xa1\xff",                 // no UTF-8
            "\xc0\xc0",                 // two values
            "\x81\x01\x02",             // a map with a number for a key
        };
        std::uint64_t id = 0;
        for (const auto& w : wrong) {
            auto frame = reply_to(++id);
            frame.set_values(0, w);
            const auto text = frame.SerializeAsString();
            const value raw = bytes({text.begin(), text.end()});
            EXPECT_TRUE(failed_saying(co_await p.execute("answer", list(raw)), errc::unserializable, "result")) << id;
        }
        EXPECT_OK(co_await p.execute("echo", 1));
        EXPECT_EQ(p.stats().workers[0].incarnation, 1u);
    });
}

TEST_P(HostileWorker, HangsUpButLives) {
    with_pool(hostile(), [](pool& p) -> awaitable<> {
        const auto first = co_await p.call<int>("pid");
        CO_ASSERT_OK(first);
        const auto before = clock::now();
        EXPECT_TRUE(failed_with(co_await p.execute("hang_up"), errc::worker_lost));
        EXPECT_LT(clock::now() - before, 5s * slow) << "not left to the deadline";
        EXPECT_OK(co_await p.execute("echo", 1));
        EXPECT_TRUE(eventually([&] { return !is_alive(*first); }));
    });
}

TEST_P(HostileWorker, WritesGarbageIntoTheConnection) {
    with_pool(hostile(), [](pool& p) -> awaitable<> {
        EXPECT_TRUE(failed_with(co_await p.execute("write_garbage"), errc::worker_lost));
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_P(HostileWorker, AStoppedOneWhoseWriteIsStuckIsCutAtTheEnd) {
    auto how = hostile();
    how.drain_timeout = 0ms;
    how.stop_grace = 100ms;
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        CO_ASSERT_OK(co_await p.start());
        const auto victim = p.stats().workers[0].pid;
        ::kill(victim, SIGSTOP);
        int ended = 0;
        const value large = bytes(std::vector<std::uint8_t>(100'000));
        for (int i = 0; i < 40; ++i)
            async_execute(p, "echo", large, call_options(), [&](const result<value>& r) {
                EXPECT_TRUE(failed_with(r, errc::pool_stopped));
                ++ended;
            });
        co_await wait_for(50ms);  // not for order: so that the socket is probably full
        const auto before = clock::now();
        EXPECT_OK(co_await p.stop());
        EXPECT_LT(clock::now() - before, 3s * slow);
        EXPECT_EQ(ended, 40);
    });
}

TEST_P(HostileWorker, AStoppedOneWhoseWriteIsStuckDoesNotHoldUpTheDestructor) {
    run([&]() -> awaitable<> {
        auto p = std::make_unique<pool>(io->get_executor(), hostile());
        CO_ASSERT_OK(co_await p->start());
        ::kill(p->stats().workers[0].pid, SIGSTOP);
        int ended = 0;
        const value large = bytes(std::vector<std::uint8_t>(100'000));
        for (int i = 0; i < 40; ++i)
            async_execute(*p, "echo", large, call_options(), [&](const result<value>& r) {
                EXPECT_TRUE(failed_with(r, errc::pool_stopped));
                ++ended;
            });
        co_await wait_for(50ms);
        const auto before = clock::now();
        p.reset();
        EXPECT_LT(clock::now() - before, 2s * slow);
        CO_ASSERT(co_await comes_true([&] { return ended == 40; }));
    });
}

}  // namespace
}  // namespace snakepit::test
