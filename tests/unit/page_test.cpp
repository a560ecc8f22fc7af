// What a worker that has died has left, written here as py/snakepit/_page.py does it.

#include "process/page.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cstring>
#include <string>
#include <vector>

namespace snakepit::detail {
namespace {

constexpr std::size_t index_at = 8;
constexpr std::size_t entries = 4096;
constexpr std::size_t log_at = 8 * (index_at + entries);
constexpr std::size_t log_bytes = (std::size_t{272} << 10) - 64;
constexpr std::size_t revoked_at = log_at + log_bytes;
constexpr std::size_t places_at = revoked_at + 8 * entries;
constexpr std::size_t stack_at = places_at + 16 * entries;
constexpr std::size_t all_bytes = stack_at + (std::size_t{256} << 10);

class Page : public ::testing::Test {
protected:
    void SetUp() override {
        auto made = page::make();
        ASSERT_TRUE(made) << made.error().full();
        left_.emplace(std::move(*made));
        descriptor_ = left_->take_descriptor();
        void* const memory = ::mmap(nullptr, all_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_.get(), 0);
        ASSERT_NE(memory, MAP_FAILED);
        memory_ = static_cast<char*>(memory);
    }
    void TearDown() override {
        if (memory_) ::munmap(memory_, all_bytes);
    }

    void put(std::size_t word, std::uint64_t number) { std::memcpy(memory_ + 8 * word, &number, sizeof number); }
    void put_entry(std::uint64_t id, std::uint64_t position, const std::string& reply, bool failed = false) {
        std::memcpy(memory_ + log_at + position % log_bytes, reply.data(), reply.size());
        put(index_at + id % entries, position << 13 | (failed ? 1u << 15 : 0u) | reply.size());
    }
    void count(std::uint64_t begun, std::uint64_t done) {
        put(0, begun);
        put(1, done);
    }
    [[nodiscard]] std::optional<page::reply> reply_to(std::uint64_t id) const {
        const auto at = left_->read_progress(1'000'000);
        EXPECT_TRUE(at);
        return at ? left_->reply_to(id, *at) : std::nullopt;
    }

    std::optional<page> left_;
    unique_fd descriptor_;
    char* memory_ = nullptr;
};

TEST_F(Page, IsEmptyAtFirst) {
    const auto at = left_->read_progress(0);
    ASSERT_TRUE(at);
    EXPECT_EQ(at->begun, 0u);
    EXPECT_EQ(at->done, 0u);
    EXPECT_FALSE(left_->reply_to(0, *at));
    EXPECT_EQ(left_->python_stack(), "");
}

TEST_F(Page, HasASizeThatNobodyCanChange) {
    EXPECT_NE(::ftruncate(descriptor_.get(), 0), 0);
    EXPECT_NE(::ftruncate(descriptor_.get(), all_bytes + 1), 0);
    EXPECT_NE(::fcntl(descriptor_.get(), F_ADD_SEALS, F_SEAL_WRITE), 0) << "nor can its seals";
    EXPECT_NE(::fcntl(descriptor_.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(Page, KeepsRepliesAndFailures) {
    put_entry(1, 0, "one");
    put_entry(2, 8, "two", true);
    put_entry(3, 16, std::string(4096, 'x'));
    count(3, 3);
    ASSERT_TRUE(reply_to(1) && reply_to(2) && reply_to(3));
    EXPECT_EQ(reply_to(1)->bytes, "one");
    EXPECT_FALSE(reply_to(1)->failed);
    EXPECT_EQ(reply_to(2)->bytes, "two");
    EXPECT_TRUE(reply_to(2)->failed);
    EXPECT_EQ(reply_to(3)->bytes, std::string(4096, 'x'));
}

TEST_F(Page, ACallThatIsNotDoneHasNoReplyWhateverTheIndexSays) {
    put_entry(1, 0, "one");
    put_entry(2, 8, "half");
    count(2, 1);
    EXPECT_TRUE(reply_to(1));
    EXPECT_FALSE(reply_to(2));
}

TEST_F(Page, TellsWhenTheLastCallWasBegun) {
    using clock = std::chrono::steady_clock;
    const auto began = clock::now() - std::chrono::seconds(2);
    for (const double said : {std::chrono::duration<double>(began.time_since_epoch()).count(), -1.0, 1e300}) {
        std::memcpy(memory_ + 16, &said, sizeof said);
        const auto at = left_->read_progress(0);
        ASSERT_TRUE(at);
        EXPECT_LE(at->started, clock::now());
        EXPECT_EQ(at->started - began < std::chrono::milliseconds(1), said > 0 && said < 1e300);
    }
}

TEST_F(Page, CountersThatCannotBeTrueAreNotBelieved) {
    for (const auto& [begun, done] :
         {std::pair<std::uint64_t, std::uint64_t>{11, 10}, {5, 6}, {5, 3}, {~0ull, ~0ull}}) {
        count(begun, done);
        EXPECT_FALSE(left_->read_progress(10)) << begun << " " << done;
    }
    count(10, 9);
    EXPECT_TRUE(left_->read_progress(10));
}

TEST_F(Page, ABatchIsBegunAndDoneTogether) {
    count(10, 6);
    EXPECT_FALSE(left_->read_progress(10, false, 3));
    EXPECT_TRUE(left_->read_progress(10, false, 4));
    EXPECT_EQ(left_->begun(), 10u);
}

TEST_F(Page, EntriesThatCannotBeAreNotRead) {
    count(4, 4);
    put(index_at + 1, std::uint64_t{0} << 16 | 4097);                    // too long
    put(index_at + 2, (std::uint64_t{log_bytes - 8} / 8) << 16 | 4096);  // over the end of the log
    put(index_at + 3, ~std::uint64_t{0});
    put(index_at + 4, 0);
    for (std::uint64_t id = 1; id <= 4; ++id) EXPECT_FALSE(reply_to(id)) << id;
}

TEST_F(Page, WhatTheRingHasOverwrittenIsGone) {
    constexpr std::uint64_t step = 4096;
    std::uint64_t position = 0;
    constexpr std::uint64_t calls = 200;
    for (std::uint64_t id = 1; id <= calls; ++id) {
        if (position % log_bytes + step > log_bytes) position += log_bytes - position % log_bytes;
        put_entry(id, position, std::string(step, static_cast<char>('a' + id % 26)));
        position += step;
    }
    count(calls, calls);
    std::uint64_t kept = 0;
    for (std::uint64_t id = 1; id <= calls; ++id) {
        const auto reply = reply_to(id);
        if (!reply) continue;
        ++kept;
        EXPECT_EQ(reply->bytes, std::string(step, static_cast<char>('a' + id % 26))) << id;
    }
    EXPECT_GE(kept, 64u) << "the largest replies of as many calls as a worker holds by default";
    EXPECT_LT(kept, 67u);
}

TEST_F(Page, AWordThatALaterCallMayHaveTakenIsNotRead) {
    put_entry(1, 0, "one");
    count(entries, entries);
    EXPECT_TRUE(reply_to(1));
    count(1 + entries, entries);
    EXPECT_FALSE(reply_to(1)) << "the call that is running now has the same word";
}

TEST_F(Page, TheStackIsWhatIsWrittenToTheDescriptor) {
    const std::string text = "Fatal Python error: Segmentation fault\n";
    ASSERT_EQ(::write(descriptor_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    EXPECT_EQ(left_->python_stack(), text);
    const std::string more(300'000, 'x');
    EXPECT_GT(::write(descriptor_.get(), more.data(), more.size()), 0) << "as much as there is room for";
    EXPECT_TRUE(left_->python_stack() == text + std::string((256u << 10) - text.size(), 'x'));
    memory_[stack_at] = '\xff';
    EXPECT_EQ(left_->python_stack(), "") << "no UTF-8";
}

TEST_F(Page, WhatIsRevokedIsSeenThereAndOnlyGrows) {
    const auto word = [&](std::uint64_t call) {
        std::uint64_t found = 0;
        std::memcpy(&found, memory_ + revoked_at + 8 * (call % entries), sizeof found);
        return found;
    };
    const auto revoked = left_->revoked();
    left_.reset();  // a lease may be given back when its worker is long gone
    EXPECT_EQ(word(7), 0u);
    revoked.add(7);
    EXPECT_EQ(word(7), 7u);
    EXPECT_EQ(word(8), 0u);
    revoked.add(7 + entries);
    revoked.add(7);
    EXPECT_EQ(word(7), 7u + entries) << "the old call is not to hide that the new one's was";
    revoked.add(entries - 1);
    EXPECT_EQ(word(entries - 1), entries - 1u);
    EXPECT_EQ(memory_[stack_at], 0);
}

// Of a worker that runs several at once.

class PageOfSeveral : public Page {
protected:
    void run(std::size_t place, std::uint64_t id) { put(places_at / 8 + 2 * place, id); }
    void keep(std::uint64_t id, std::uint64_t position, const std::string& reply) {
        std::memcpy(memory_ + log_at + position % log_bytes, &id, sizeof id);
        std::memcpy(memory_ + log_at + position % log_bytes + 8, reply.data(), reply.size());
        put(index_at + id % entries, position << 13 | reply.size());
    }
    [[nodiscard]] std::string kept(std::uint64_t id) const {
        const auto at = left_->read_progress(1'000'000, true);
        const auto reply = at ? left_->reply_to(id, *at) : std::nullopt;
        return reply ? reply->bytes : "nothing";
    }
    [[nodiscard]] std::vector<std::uint64_t> running() const {
        std::vector<std::uint64_t> ids;
        if (const auto at = left_->read_progress(1'000'000, true))
            for (const auto& place : *at->running) ids.push_back(place.id);
        return ids;
    }
};

TEST_F(PageOfSeveral, NamesWhatRanInTheOrderOfTheIds) {
    put(0, 9);
    run(0, 7);
    run(3, 2);
    run(4095, 9);
    run(5, 10);  // it was about to begin
    EXPECT_EQ(running(), (std::vector<std::uint64_t>{2, 7, 9}));
    EXPECT_EQ(left_->read_running().size(), 4u);
    EXPECT_FALSE(left_->read_progress(8, true)) << "more than it was sent";
}

TEST_F(PageOfSeveral, RepliesAreThoseOfTheirCalls) {
    put(0, 5'000);
    keep(2, 0, "two");
    keep(4'000, 16, "four thousand");
    EXPECT_EQ(kept(2), "two") << "however long ago it was begun";
    EXPECT_EQ(kept(4'000), "four thousand");
    keep(2 + entries, 40, "later");
    EXPECT_EQ(kept(2), "nothing") << "the other one has its word";
    EXPECT_EQ(kept(2 + entries), "later");
    put(0, entries);
    EXPECT_EQ(kept(2 + entries), "nothing") << "it has not begun";
}

TEST_F(PageOfSeveral, WhatTheRingHasOverwrittenIsNotRead) {
    put(0, 100);
    keep(50, 0, "old");
    keep(3, log_bytes - 8'000, "new");
    EXPECT_EQ(kept(50), "nothing") << "an older call that ended later lies on top of it, or may";
    EXPECT_EQ(kept(3), "new");
    put(index_at + 4, (log_bytes - 8) << 13 | 16);
    EXPECT_EQ(kept(4), "nothing") << "it would lie beyond the end";
}

}  // namespace
}  // namespace snakepit::detail
