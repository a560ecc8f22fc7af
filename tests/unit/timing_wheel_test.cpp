#include "pool/timing_wheel.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace snakepit::detail {
namespace {

struct item {
    list_hook<item> due_hook;
    std::uint64_t due_tick = 0;
    std::uint16_t due_slot = 0;
    int name = 0;
};
using wheel = timing_wheel<item>;

std::vector<int> advance(wheel& w, std::uint64_t to) {
    std::vector<int> names;
    w.advance(to, [&](item& i) { names.push_back(i.name); });
    return names;
}

TEST(TimingWheel, HasNothingToDoWhenItIsEmpty) {
    wheel w;
    EXPECT_TRUE(w.empty());
    EXPECT_EQ(w.next(), wheel::never);
    EXPECT_TRUE(advance(w, 1'000'000'000).empty());
    EXPECT_EQ(w.now(), 1'000'000'000u);
}

TEST(TimingWheel, GivesElementsAtTheirTickAndNotBefore) {
    for (const std::uint64_t tick : {1ull, 255ull, 256ull, 257ull, 65'535ull, 65'536ull, 65'537ull, (1ull << 24) - 1,
                                     1ull << 24, (1ull << 32) - 1, 1ull << 32, (1ull << 32) + 1, 1ull << 40}) {
        for (const std::uint64_t start : {0ull, 1ull, 255ull, 256ull, 65'535ull, 123'456'789ull, (1ull << 32) - 1}) {
            wheel w;
            advance(w, start);
            item i;
            w.insert(i, start + tick);
            EXPECT_TRUE(advance(w, start + tick - 1).empty()) << start << "+" << tick;
            EXPECT_LE(w.next(), start + tick);
            EXPECT_EQ(advance(w, start + tick).size(), 1u) << start << "+" << tick;
            EXPECT_TRUE(w.empty());
        }
    }
}

TEST(TimingWheel, GivesWhatIsOverdueAtTheNextAdvance) {
    wheel w;
    advance(w, 1000);
    item past, present;
    w.insert(past, 3);
    w.insert(present, 1000);
    EXPECT_TRUE(advance(w, 1000).empty());
    EXPECT_EQ(advance(w, 1001).size(), 2u);
}

TEST(TimingWheel, StepsOverIdleHoursAtOnce) {
    wheel w;
    item i;
    const std::uint64_t hours = 5ull * 3600 * 1000;
    w.insert(i, hours);
    EXPECT_EQ(advance(w, hours * 1000).size(), 1u);
    w.insert(i, hours * 1000 + 7);
    EXPECT_TRUE(advance(w, hours * 1000 + 6).empty());
    EXPECT_EQ(advance(w, hours * 1000 + 7).size(), 1u);
}

TEST(TimingWheel, AllowsElementsToBeErasedAndInsertedWhileOthersExpire) {
    wheel w;
    std::vector<item> items(10);
    for (int i = 0; i < 10; ++i) {
        items[static_cast<std::size_t>(i)].name = i;
        w.insert(items[static_cast<std::size_t>(i)], i < 5 ? 100 : 101);
    }
    std::vector<int> names;
    w.advance(101, [&](item& i) {
        names.push_back(i.name);
        if (names.size() == 1) {
            w.erase(items[1]);  // due now
            w.erase(items[7]);  // due later
            w.insert(items[0], 50);
        }
    });
    EXPECT_EQ(names, (std::vector{0, 2, 3, 4, 5, 6, 8, 9, 0}));
    EXPECT_TRUE(w.empty());
}

TEST(TimingWheel, AgreesWithASortedMap) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE(fmt::format("seed {}", seed));
    fmt::print("seed {}\n", seed);
    std::mt19937_64 random(seed);
    const auto up_to = [&](std::uint64_t n) { return std::uniform_int_distribution<std::uint64_t>(0, n)(random); };

    wheel w;
    std::multimap<std::uint64_t, item*> expected;
    std::vector<std::unique_ptr<item>> items;
    for (int i = 0; i < 300; ++i) {
        items.push_back(std::make_unique<item>());
        items.back()->name = i;
    }
    const auto forget = [&](item& i) {
        const auto [from, to] = expected.equal_range(std::max(i.due_tick, std::uint64_t{0}));
        expected.erase(std::find_if(from, to, [&](const auto& e) { return e.second == &i; }));
    };
    for (int step = 0; step < 60'000; ++step) {
        item& i = *items[up_to(items.size() - 1)];
        const auto what = up_to(9);
        if (what < 5 && !i.due_hook.linked) {
            const auto away = up_to((std::uint64_t{1} << up_to(36)) - 1);
            w.insert(i, w.now() + 1 + away);
            expected.emplace(w.now() + 1 + away, &i);
        } else if (what < 7 && i.due_hook.linked) {
            forget(i);
            w.erase(i);
        } else {
            const auto to = w.now() + up_to(std::uint64_t{1} << up_to(34));
            std::uint64_t last = 0;
            w.advance(to, [&](item& due) {
                ASSERT_LE(due.due_tick, to);
                ASSERT_GE(due.due_tick, last) << "not in order of time";
                last = due.due_tick;
                forget(due);
                if (!expected.empty() && up_to(3) == 0) {  // erases another one
                    item& other = *expected.begin()->second;
                    expected.erase(expected.begin());
                    w.erase(other);
                }
            });
            ASSERT_EQ(w.now(), to);
            ASSERT_TRUE(expected.empty() || expected.begin()->first > to) << "one was forgotten";
        }
        ASSERT_EQ(w.empty(), expected.empty());
        if (expected.empty()) {
            ASSERT_EQ(w.next(), wheel::never);
        } else {
            ASSERT_LE(w.next(), expected.begin()->first);
            ASSERT_GT(w.next(), w.now());
        }
    }
}

}  // namespace
}  // namespace snakepit::detail
