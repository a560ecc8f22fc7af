// Sessions under threads that open, use, watch, pin, close and sweep them while they expire. Meant for ThreadSanitizer.

#include "session/memory_store.hpp"
#include "support/worker_page.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using clock_type = memory_store::clock;

constexpr auto how_long = 3s;
constexpr int keys = 40;

/// What went wrong, and how often something was done at all.
struct tally {
    std::atomic<long> wrong = 0, done = 0, conflicts = 0, closed = 0, events = 0;
};

class user {
public:
    user(memory_store& store, tally& count, unsigned seed) : store_(store), count_(count), random_(seed) {}

    void run(clock_type::time_point until) {
        while (clock_type::now() < until) one();
    }

private:
    int up_to(int n) { return std::uniform_int_distribution<int>(0, n)(random_); }
    void one() {
        const auto key = "s" + std::to_string(up_to(keys - 1));
        const auto opened = store_.open(key, clock_type::now());
        if (!opened || opened->key != key) {
            ++count_.wrong;
            return;
        }
        const auto& id = *opened;
        switch (up_to(9)) {
            case 0: note(store_.close(id, clock_type::now())); break;
            case 1: note(store_.expire_after(id, std::chrono::milliseconds(up_to(3)), clock_type::now())); break;
            case 2: note(store_.names(id, clock_type::now())); break;
            case 3: watch(id); break;
            case 4: pin(id); break;
            case 5: watching_[static_cast<std::size_t>(up_to(9))].reset(); break;
            default: increment(id);
        }
    }
    template <class T>
    bool note(const result<T>& outcome) {
        ++count_.done;
        if (outcome) return true;
        if (outcome.error() == errc::version_conflict) ++count_.conflicts;
        else if (outcome.error() == errc::session_closed) ++count_.closed;
        else ++count_.wrong;
        return false;
    }
    /// Two variables that are always written together, and whose values say whose they are.
    void increment(const session_id& id) {
        static const std::vector<std::string> names{"a", "b"};
        const auto found = store_.read(id, names, clock_type::now());
        if (!note(found)) return;
        const auto& a = (*found)[0];
        const auto& b = (*found)[1];
        if ((a.bytes == nullptr) != (b.bytes == nullptr)) ++count_.wrong;
        if (a.bytes && (*a.bytes != *b.bytes || a.version + 1 != b.version)) ++count_.wrong;
        if (a.bytes && !a.bytes->starts_with(id.key + ":")) ++count_.wrong;
        const auto next = up_to(5) == 0 ? nullptr
                                        : std::make_shared<const std::string>(
                                              id.key + ":" + std::string(static_cast<std::size_t>(up_to(50)), 'x'));
        std::vector<session_change> changes;
        changes.push_back({"a", next, a.version});
        changes.push_back({"b", next, b.version});
        const auto versions = store_.write(id, std::move(changes), clock_type::now());
        if (note(versions) && next && ((*versions)[0] <= a.version || (*versions)[0] + 1 != (*versions)[1]))
            ++count_.wrong;
    }
    void watch(const session_id& id) {
        struct ear {
            std::uint64_t last = 0;
            bool closed = false;
        };
        auto heard = std::make_shared<ear>();
        auto token = store_.watch(
            id,
            [heard, this](const session_event& e) {
                ++count_.events;
                if (heard->closed) ++count_.wrong;
                if (e.kind == session_event::what::closed) heard->closed = true;
                else if (e.version <= std::exchange(heard->last, e.version)) ++count_.wrong;
            },
            clock_type::now());
        if (note(token)) watching_[static_cast<std::size_t>(up_to(9))] = std::move(*token);
    }
    void pin(const session_id& id) {
        if (!note(store_.pin(id, clock_type::now()))) return;
        std::this_thread::yield();
        store_.unpin(id, clock_type::now());
    }

    memory_store& store_;
    tally& count_;
    std::mt19937 random_;
    std::array<std::shared_ptr<void>, 10> watching_;
};

TEST(SessionStress, MixesNoSessionsUpWhateverHappensAtOnce) {
    memory_store store({.ttl = 2ms});
    std::atomic<long> alarms = 0;
    auto bell = store.on_alarm([&](memory_store::time_point) { ++alarms; });
    tally count;
    const auto until = clock_type::now() + how_long;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 6; ++t)
        threads.emplace_back([&, t] {
            user u(store, count, t);
            u.run(until);
        });
    threads.emplace_back([&] {
        while (clock_type::now() < until) {
            store.sweep(clock_type::now(), 50);
            std::this_thread::sleep_for(1ms);
        }
    });
    for (auto& t : threads) t.join();
    EXPECT_EQ(count.wrong, 0);
    EXPECT_GT(count.done, 1'000);
    EXPECT_GT(count.events, 0);
    EXPECT_GT(alarms, 0);
    // Those of an expire_after(0) stay.
    store.sweep(clock_type::now() + 1h, 1'000'000);
    EXPECT_LE(store.size(), std::size_t{keys});
    for (int i = 0; i < keys; ++i) {
        const auto id = store.open("s" + std::to_string(i), clock_type::now()).value();
        EXPECT_TRUE(store.close(id, clock_type::now()));
    }
    EXPECT_EQ(store.size(), 0U);
}

/// A lease that holds says what was written last, whoever has written it and in whatever thread.
TEST(SessionStress, ALeaseHoldsNoLongerThanItIsTrue) {
    memory_store store({.ttl = 0ms});
    const test::worker_page page;
    const auto id = store.open("s", clock_type::now()).value();
    const std::vector<std::string> names{"x"};
    std::atomic<std::uint64_t> acknowledged = 0, calls = 0;
    std::atomic<long> held = 0, stale = 0;
    const auto until = clock_type::now() + how_long;
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t)
        threads.emplace_back([&] {
            while (clock_type::now() < until) {
                std::vector<session_change> change(1);
                change[0] = {"x", std::make_shared<const std::string>("1"), {}};
                const auto version = store.write(id, std::move(change), clock_type::now()).value()[0];
                auto last = acknowledged.load();
                while (last < version && !acknowledged.compare_exchange_weak(last, version)) {
                }
                std::this_thread::yield();
            }
        });
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            while (clock_type::now() < until) {
                lease mine;
                mine.at = page.revoked();
                mine.call = ++calls;
                const auto got = store.lend(id, names, mine, clock_type::now());
                for (int look = 0; look < 20; ++look) {
                    const auto newest = acknowledged.load();
                    if (!page.holds(mine.call)) break;
                    ++held;
                    if (got->variables[0].version < newest) ++stale;
                }
                store.take_back(id, mine);
                std::this_thread::yield();  // or the writers would hardly ever come to the mutex
            }
        });
    for (auto& t : threads) t.join();
    EXPECT_EQ(stale, 0);
    EXPECT_GT(held, 100);
    EXPECT_GT(acknowledged, 100u);
}

}  // namespace
}  // namespace snakepit::detail
