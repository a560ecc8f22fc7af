#include "session/memory_store.hpp"
#include "support/worker_page.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

std::shared_ptr<const std::string> bytes(std::string text) {
    return std::make_shared<const std::string>(std::move(text));
}

class MemoryStore : public ::testing::Test {
protected:
    using time_point = memory_store::time_point;

    /// Makes a store whose alarms are written down.
    void make(const session_options& options) {
        store = std::make_unique<memory_store>(options);
        listen();
    }
    void listen() {
        bell = store->on_alarm([this](time_point at) { alarms.push_back(at - start); });
    }
    session_id open(const std::string& key = "alice") { return store->open(key, now).value(); }
    bool lives(const session_id& id) { return store->names(id, now).has_value(); }
    auto set(const session_id& id, std::string name, std::string text) {
        std::vector<session_change> one;
        one.push_back({std::move(name), bytes(std::move(text)), {}});
        return store->write(id, std::move(one), now);
    }

    const time_point start = time_point(1'000'000h);
    time_point now = start;
    std::unique_ptr<memory_store> store;
    std::vector<memory_store::clock::duration> alarms;
    std::shared_ptr<const memory_store::bell> bell;
};

TEST_F(MemoryStore, IsSweptWhenTheFirstSessionExpires) {
    make({.ttl = 1s});
    EXPECT_THAT(alarms, ElementsAre()) << "nobody is woken for nothing";
    open("a");
    now += 500ms;
    open("b");
    EXPECT_THAT(alarms, ElementsAre(1s));
    now = start + 1s;
    store->sweep(now);
    EXPECT_EQ(store->size(), 1U);
    ASSERT_EQ(alarms.size(), 2U);
    EXPECT_GT(alarms[1], 1s);
    EXPECT_LE(alarms[1], 1500ms);
    now = start + 1499ms;
    store->sweep(now);
    EXPECT_EQ(store->size(), 1U) << "not before its time";
    now = start + 1500ms;
    store->sweep(now);
    EXPECT_EQ(store->size(), 0U);
    const auto told = alarms.size();
    store->sweep(now);
    EXPECT_EQ(alarms.size(), told) << "there is nothing left to wake up for";
}

TEST_F(MemoryStore, TellsTheAlarmOfSessionsThatWereThereBefore) {
    store = std::make_unique<memory_store>(session_options{.ttl = 1s});
    open();
    listen();
    EXPECT_THAT(alarms, ElementsAre(1s));
    bell.reset();
    ASSERT_TRUE(store->expire_after(open(), 1ms, now));
    EXPECT_THAT(alarms, ElementsAre(1s));
}

TEST_F(MemoryStore, NeedsNoSweepWhereNothingExpires) {
    make({.ttl = 0ms});
    const auto id = open();
    store->sweep(now + 1'000'000h);
    EXPECT_TRUE(lives(id));
    EXPECT_THAT(alarms, ElementsAre());
    ASSERT_TRUE(store->expire_after(id, 20ms, now));
    EXPECT_THAT(alarms, ElementsAre(20ms));
    now += 20ms;
    store->sweep(now);
    EXPECT_EQ(store->size(), 0U);
}

TEST_F(MemoryStore, PutsTheEndOffAlsoWhenItIsSwept) {
    make({.ttl = 1s});
    const auto id = open();
    for (int i = 0; i < 50; ++i) {
        now += 900ms;
        store->sweep(now);
        ASSERT_TRUE(store->touch(id, now));
    }
    now += 999ms;
    store->sweep(now);
    EXPECT_EQ(store->size(), 1U);
    now += 1ms;
    store->sweep(now);
    EXPECT_EQ(store->size(), 0U);
}

TEST_F(MemoryStore, LooksAtNoMoreThanTheBudgetSays) {
    make({.ttl = 1s});
    for (int i = 0; i < 1'000; ++i) open(std::to_string(i));
    now += 1s;
    alarms.clear();
    std::size_t sweeps = 0;
    while (store->size() != 0) {
        const auto before = store->size();
        store->sweep(now, 70);
        ASSERT_LE(before - store->size(), 70U);
        if (store->size() != 0) {
            ASSERT_EQ(alarms.back(), 1s) << "at once again";
        }
        ASSERT_LT(++sweeps, 40U);
    }
}

TEST_F(MemoryStore, KeepsASessionThatIsPinned) {
    make({.ttl = 1s});
    const auto id = open();
    ASSERT_TRUE(store->pin(id, now));
    ASSERT_TRUE(store->pin(id, now));
    now += 10s;
    store->sweep(now);
    EXPECT_EQ(open(), id);
    store->unpin(id, now);
    now += 10s;
    store->sweep(now);
    EXPECT_TRUE(lives(id)) << "still pinned once";
    now += 10s;
    store->unpin(id, now);
    now += 999ms;
    store->sweep(now);
    EXPECT_EQ(store->size(), 1U) << "that was a use";
    now += 1ms;
    store->sweep(now);
    EXPECT_EQ(store->size(), 0U);
    store->unpin(id, now);
    EXPECT_EQ(store->pin(id, now).error(), errc::session_closed);
    EXPECT_EQ(store->touch(id, now).error(), errc::session_closed);
}

TEST_F(MemoryStore, ClosesASessionThatIsPinned) {
    make({.ttl = 1s});
    const auto id = open();
    ASSERT_TRUE(store->pin(id, now));
    ASSERT_TRUE(store->close(id, now));
    EXPECT_FALSE(lives(id));
    const auto next = open();
    store->unpin(id, now);
    now += 1s;
    EXPECT_FALSE(lives(next)) << "the pin was the other session's";
}

TEST_F(MemoryStore, TellsWatchersOfWhatASweepEnds) {
    make({.ttl = 1s});
    std::vector<std::string> ended;
    std::vector<std::shared_ptr<void>> watching;
    for (const char* key : {"a", "b", "c"})
        watching.push_back(store
                               ->watch(
                                   open(key),
                                   [&ended, key, this](const session_event& e) {
                                       EXPECT_EQ(e.kind, session_event::what::closed);
                                       ended.emplace_back(key);
                                       open("made meanwhile");  // no mutex is held
                                   },
                                   now)
                               .value());
    now += 1s;
    store->sweep(now);
    EXPECT_THAT(ended, ::testing::UnorderedElementsAre("a", "b", "c"));
    EXPECT_EQ(store->size(), 1U);
}

TEST_F(MemoryStore, TakesTimesThatGoBack) {
    make({.ttl = 1s});
    const auto id = open();
    now += 900ms;
    ASSERT_TRUE(store->touch(id, now));
    ASSERT_TRUE(store->touch(id, now - 500ms)) << "a thread that read its clock earlier";
    now += 999ms;
    EXPECT_TRUE(lives(id));
    store->sweep(now);
    store->sweep(now - 10s);
    EXPECT_TRUE(lives(id));
}

TEST_F(MemoryStore, GivesWhatIsEndedBackAndUsesItAgain) {
    make({.max_sessions = 100'000});
    std::vector<session_id> first;
    for (int i = 0; i < 5'000; ++i) first.push_back(open(std::to_string(i)));
    for (const auto& id : first) ASSERT_TRUE(store->close(id, now));
    EXPECT_EQ(store->size(), 0U);
    for (int i = 0; i < 5'000; ++i) ASSERT_TRUE(set(open(std::to_string(i)), "x", std::to_string(i)));
    for (const auto& id : first) ASSERT_FALSE(lives(id));
    const std::vector<std::string> x{"x"};
    for (int i = 0; i < 5'000; ++i)
        ASSERT_EQ(*store->read(open(std::to_string(i)), x, now).value().at(0).bytes, std::to_string(i));
}

// Opens, uses, closes and sweeps, against a plain map of when each session ends.
TEST_F(MemoryStore, EndsEachSessionInItsTimeWhateverIsDone) {
    make({.ttl = 5s});
    std::mt19937 random(7);
    const auto up_to = [&](int n) { return std::uniform_int_distribution<int>(0, n)(random); };
    struct known {
        session_id id;
        time_point ends;
        std::chrono::milliseconds ttl;
    };
    std::map<std::string, known> model;
    const auto drop_ended = [&] { std::erase_if(model, [&](const auto& m) { return m.second.ends <= now; }); };
    for (int i = 0; i < 100'000; ++i) {
        const auto key = std::to_string(up_to(300));
        drop_ended();
        const auto it = model.find(key);
        switch (up_to(5)) {
            case 0:
            case 1: {
                const auto id = open(key);
                if (it == model.end()) model[key] = {id, now + 5s, 5s};
                else {
                    ASSERT_EQ(id, it->second.id);
                    it->second.ends = now + it->second.ttl;
                }
                break;
            }
            case 2:
                if (it == model.end()) break;
                it->second.ttl = std::chrono::milliseconds(1 + up_to(up_to(3) == 0 ? 1'000'000 : 8'000));
                it->second.ends = now + it->second.ttl;
                ASSERT_TRUE(store->expire_after(it->second.id, it->second.ttl, now));
                break;
            case 3:
                if (it == model.end()) break;
                ASSERT_TRUE(store->close(it->second.id, now));
                model.erase(it);
                break;
            case 4: now += std::chrono::microseconds(up_to(50'000)); break;
            default:
                store->sweep(now, static_cast<std::size_t>(up_to(30)));
                if (up_to(20) == 0) {
                    store->sweep(now);
                    drop_ended();
                    ASSERT_LE(store->size(), model.size() + 1) << "what ends in this millisecond goes in the next";
                    ASSERT_GE(store->size(), model.size());
                }
        }
    }
    EXPECT_GT(model.size(), 10U);
}

TEST(NameIndex, FindsAsAMapWouldWhateverIsDone) {
    std::mt19937 random(11);
    const auto up_to = [&](int n) { return std::uniform_int_distribution<int>(0, n)(random); };
    name_index index;
    std::map<std::uint32_t, std::uint32_t> numbers;  // by hash; few of these, so that they clash
    std::uint32_t next = 0;
    for (int i = 0; i < 200'000; ++i) {
        const auto hash = static_cast<std::uint32_t>(up_to(500)) * (up_to(1) == 0 ? 1U : 64U);
        const auto it = numbers.find(hash);
        const auto found = index.find(hash, [&](std::uint32_t n) { return it != numbers.end() && n == it->second; });
        ASSERT_EQ(found, it == numbers.end() ? name_index::none : it->second);
        if (it == numbers.end()) index.insert(hash, numbers[hash] = next++);
        else if (up_to(3) == 0) index.renumber(hash, it->second, next), it->second = next++;
        else if (up_to(1) == 0) {
            index.erase(hash, it->second);
            numbers.erase(it);
        }
        ASSERT_EQ(index.size(), numbers.size());
    }
}

class Leases : public MemoryStore {
protected:
    void SetUp() override {
        session_options limits{.ttl = 1s};
        limits.max_variables = 3;
        limits.max_value_bytes = 100;
        limits.max_session_bytes = 1'000;
        make(limits);
    }
    /// A lease of these variables for the call of this number.
    std::optional<lent> lend(const session_id& id, lease& to, std::uint64_t call,
                             const std::vector<std::string>& names) {
        to.at = page.revoked();
        to.call = call;
        return store->lend(id, names, to, now);
    }
    [[nodiscard]] bool holds(std::uint64_t call) const { return page.holds(call); }

    test::worker_page page;
};

TEST_F(Leases, SayWhatThereIsAndHowMuchRoom) {
    const auto id = open();
    const auto version = set(id, "x", "12345").value()[0];
    lease mine;
    const auto got = lend(id, mine, 1, {"x", "y"});
    ASSERT_TRUE(got);
    EXPECT_EQ(*got->variables[0].bytes, "12345");
    EXPECT_EQ(got->variables[0].version, version);
    EXPECT_FALSE(got->variables[1].bytes);
    EXPECT_EQ(got->variables[1].version, 0u);
    EXPECT_EQ(got->room_variables, 2u);
    EXPECT_EQ(got->room_bytes, 1'000u - 6);
    EXPECT_EQ(got->max_value_bytes, 100u);
    EXPECT_TRUE(holds(1));
    store->take_back(id, mine);
    ASSERT_TRUE(set(id, "x", "other"));
    EXPECT_TRUE(holds(1)) << "it was given back";
}

TEST_F(Leases, AreRevokedByWhoeverElseChangesTheSession) {
    const auto id = open();
    lease first, second;
    ASSERT_TRUE(lend(id, first, 1, {"x"}));
    ASSERT_TRUE(lend(id, second, 2, {"x"}));
    std::vector<session_change> change(1);
    change[0] = {"x", bytes("1"), {}};
    ASSERT_TRUE(store->write(id, change, now, &first));
    EXPECT_TRUE(holds(1)) << "its own change";
    EXPECT_FALSE(holds(2));
    ASSERT_TRUE(set(id, "y", "1"));
    EXPECT_FALSE(holds(1));
    store->take_back(id, first);
    store->take_back(id, second);
}

TEST_F(Leases, AreNotRevokedByWhatChangesNothing) {
    const auto id = open();
    lease mine;
    ASSERT_TRUE(lend(id, mine, 1, {"x"}));
    ASSERT_FALSE(set(id, "y", std::string(101, 'x')));
    ASSERT_TRUE(store->read(id, std::vector<std::string>{"x"}, now));
    ASSERT_TRUE(set(open("bob"), "x", "1"));
    EXPECT_TRUE(holds(1));
    store->take_back(id, mine);
}

TEST_F(Leases, AreRevokedByTheEndOfTheSession) {
    const auto closed = open("closed"), expired = open("expired");
    lease first, second;
    ASSERT_TRUE(lend(closed, first, 1, {}));
    ASSERT_TRUE(store->close(closed, now));
    EXPECT_FALSE(holds(1));
    store->take_back(closed, first);
    EXPECT_FALSE(lend(closed, first, 3, {}));
    ASSERT_TRUE(lend(expired, second, 2, {}));
    now += 2s;
    store->sweep(now);
    EXPECT_FALSE(holds(2));
    store->take_back(expired, second);
}

}  // namespace
}  // namespace snakepit::detail
