#include "pool/map_window.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <list>
#include <random>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace snakepit::detail {
namespace {

TEST(MapWindow, KeepsTheOrderOfTheRange) {
    map_window w(3, true);
    const auto a = w.open(), b = w.open(), c = w.open();
    EXPECT_FALSE(w.has_room());
    w.fill(c, value(2));
    w.fill(b, value(1));
    EXPECT_FALSE(w.is_ready());
    w.fill(a, value(0));
    for (std::uint64_t i = 0; i < 3; ++i) {
        ASSERT_TRUE(w.is_ready());
        const auto taken = w.pop();
        EXPECT_EQ(taken.index, i);
        EXPECT_EQ(*taken.outcome, i);
    }
    EXPECT_FALSE(w.is_ready());
    EXPECT_TRUE(w.is_empty());
}

TEST(MapWindow, GivesThemAsTheyComeWhenNotOrdered) {
    map_window w(3, false);
    const auto a = w.open(), b = w.open();
    w.fill(b, value("b"));
    ASSERT_TRUE(w.is_ready());
    EXPECT_EQ(w.pop().index, 1U);
    EXPECT_FALSE(w.is_ready());
    w.fill(a, tl::unexpected(error(errc::worker_lost, "gone")));
    const auto taken = w.pop();
    EXPECT_EQ(taken.index, 0U);
    EXPECT_EQ(taken.outcome.error(), errc::worker_lost);
}

TEST(MapWindow, UsesPlacesAgainWhateverTheOrderOfTheEnds) {
    for (const bool ordered : {true, false}) {
        std::mt19937 random(7);
        map_window w(16, ordered);
        std::vector<std::size_t> under_way;
        std::vector<bool> seen(5'000);
        std::uint64_t next = 0;
        std::size_t opened = 0;
        while (next < seen.size()) {
            if (w.has_room() && opened < seen.size() && random() % 2 == 0) {
                const auto at = w.open();
                ASSERT_LT(at, 16U);
                ASSERT_EQ(std::count(under_way.begin(), under_way.end(), at), 0);
                under_way.push_back(at);
                ++opened;
            } else if (!under_way.empty()) {
                std::swap(under_way[random() % under_way.size()], under_way.back());
                w.fill(under_way.back(), value(under_way.back()));
                under_way.pop_back();
            }
            while (w.is_ready()) {
                const auto taken = w.pop();
                if (ordered) {
                    ASSERT_EQ(taken.index, next);
                }
                ASSERT_FALSE(seen[taken.index]);
                seen[taken.index] = true;
                ++next;
            }
        }
        EXPECT_TRUE(w.is_empty());
    }
}

// ---- ranges

template <class Range>
std::vector<result<value>> items_of(Range&& range) {
    std::vector<result<value>> all;
    const auto source = map_source_of(std::forward<Range>(range));
    while (auto item = source->next()) all.push_back(std::move(*item));
    EXPECT_FALSE(source->next());  // and stays at its end
    return all;
}

static_assert(mappable<std::vector<int>> && mappable<const std::vector<std::string>&> && mappable<value&>);
static_assert(!mappable<int> && !mappable<std::vector<std::mutex>>);

TEST(MapSource, TakesAnyInputRange) {
    EXPECT_TRUE(items_of(std::vector<int>()).empty());
    EXPECT_EQ(items_of(std::list<std::string>{"a", "b"}).at(1), value("b"));
    EXPECT_EQ(items_of(std::views::iota(3, 6)).size(), 3U);
    std::istringstream words("some few words");
    EXPECT_EQ(items_of(std::ranges::istream_view<std::string>(words)).at(2), value("words"));
    const auto list = value::parse("[1, [2], {\"three\": 3}]");
    const auto items = items_of(list);
    ASSERT_EQ(items.size(), 3U);
    EXPECT_EQ(items[1], list[1]);
    EXPECT_EQ(items[2], list[2]);
}

TEST(MapSource, ReadsNothingAhead) {
    int read = 0;
    const auto source = map_source_of(std::views::iota(0) | std::views::transform([&](int i) { return ++read, i; }));
    EXPECT_EQ(read, 0);
    EXPECT_EQ(**source->next(), 0);
    EXPECT_EQ(**source->next(), 1);
    EXPECT_EQ(read, 2);
}

struct touchy {
    int number = 0;
};
void to_json(value& to, const touchy& from) {
    if (from.number == 1) throw std::runtime_error("not this one");
    if (from.number == 2) throw 2;
    to = from.number;
}

TEST(MapSource, GoesOnAfterAnItemThatCannotBecomeAValue) {
    const auto items = items_of(std::vector<touchy>{{0}, {1}, {2}, {3}});
    ASSERT_EQ(items.size(), 4U);
    EXPECT_EQ(items[0], value(0));
    EXPECT_EQ(items[1].error(), errc::unserializable);
    EXPECT_EQ(items[1].error().message(), "not this one");
    EXPECT_EQ(items[2].error(), errc::unserializable);
    EXPECT_EQ(items[3], value(3));
}

/// Throws when it is to go on behind its second item.
struct breaking {
    struct iterator {
        using value_type = int;
        using difference_type = std::ptrdiff_t;
        int at = 0;
        int operator*() const { return at; }
        iterator& operator++() {
            if (++at == 2) throw std::runtime_error("the disk is gone");
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(std::default_sentinel_t) const { return at == 10; }
    };
    [[nodiscard]] static iterator begin() { return {}; }
    [[nodiscard]] static std::default_sentinel_t end() { return {}; }
};

TEST(MapSource, EndsWithWhatTheRangeThrows) {
    const auto items = items_of(breaking());
    ASSERT_EQ(items.size(), 3U);
    EXPECT_EQ(items[1], value(1));
    EXPECT_EQ(items[2].error(), errc::unserializable);
    EXPECT_EQ(items[2].error().message(), "the range ended with an exception: the disk is gone");
}

}  // namespace
}  // namespace snakepit::detail
