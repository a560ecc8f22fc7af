#pragma once
// What every session_backend has to do. A backend's test includes this and instantiates it:
//
//     INSTANTIATE_TEST_SUITE_P(Redis, SessionBackendContract, ::testing::Values(&make_redis_surroundings));

#include <snakepit/session_backend.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <atomic>
#include <barrier>
#include <chrono>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace snakepit::testing {

using namespace std::chrono_literals;

/// Makes backends of one kind, empty ones, and lets time pass for them.
class backend_surroundings {
public:
    virtual ~backend_surroundings() = default;
    virtual std::shared_ptr<session_backend> make(const session_options& options) = 0;
    /// Afterwards that much time has passed for the backend; a real one may sleep.
    virtual void let_pass(std::chrono::milliseconds time) = 0;
};

/// Awaits one operation on an executor of its own.
template <class T>
result<T> await(asio::awaitable<result<T>> operation) {
    asio::io_context io;
    std::optional<result<T>> outcome;
    asio::co_spawn(io, std::move(operation), [&](std::exception_ptr failed, result<T> r) {
        if (failed) std::rethrow_exception(failed);
        outcome = std::move(r);
    });
    io.run();
    return std::move(outcome).value();
}

inline std::shared_ptr<const std::string> bytes(std::string text) {
    return std::make_shared<const std::string>(std::move(text));
}
inline session_change set(std::string name, std::string text, std::optional<std::uint64_t> expected = {}) {
    return {std::move(name), bytes(std::move(text)), expected};
}
inline session_change erase(std::string name, std::optional<std::uint64_t> expected = {}) {
    return {std::move(name), nullptr, expected};
}

/// What a watcher has heard: "x=1@3", "-x@4", "closed".
class heard {
public:
    std::function<void(const session_event&)> ear() {
        return [this](const session_event& e) {
            const std::lock_guard lock(mutex_);
            switch (e.kind) {
                case session_event::what::changed:
                    said_.push_back(e.name + "=" + *e.bytes + "@" + std::to_string(e.version));
                    break;
                case session_event::what::erased:
                    said_.push_back("-" + e.name + "@" + std::to_string(e.version));
                    break;
                case session_event::what::closed: said_.push_back("closed"); break;
            }
            versions_.push_back(e.version);
        };
    }
    std::vector<std::string> said() const {
        const std::lock_guard lock(mutex_);
        return said_;
    }
    std::vector<std::uint64_t> versions() const {
        const std::lock_guard lock(mutex_);
        return versions_;
    }

private:
    mutable std::mutex mutex_;
    std::vector<std::string> said_;
    std::vector<std::uint64_t> versions_;
};

class SessionBackendContract : public ::testing::TestWithParam<std::unique_ptr<backend_surroundings> (*)()> {
protected:
    using strings = std::vector<std::string>;

    void make(const session_options& options = {}) { backend = around->make(options); }
    void let_pass(std::chrono::milliseconds time) { around->let_pass(time); }

    session_id open(const std::string& key = "alice") { return await(backend->open(key)).value(); }
    result<std::vector<std::uint64_t>> write(const session_id& id, std::vector<session_change> changes) {
        return await(backend->write(id, std::move(changes)));
    }
    result<std::vector<std::uint64_t>> write(const session_id& id, session_change change) {
        std::vector<session_change> one;
        one.push_back(std::move(change));
        return write(id, std::move(one));
    }
    result<std::vector<stored_variable>> read(const session_id& id, strings names) {
        return await(backend->read(id, std::move(names)));
    }
    /// "1@3", or "" where there is none.
    std::string look(const session_id& id, const std::string& name) {
        const auto found = read(id, {name}).value().at(0);
        return found.bytes ? *found.bytes + "@" + std::to_string(found.version) : std::string();
    }
    /// All names and what they are.
    std::map<std::string, std::string> all(const session_id& id) {
        std::map<std::string, std::string> found;
        const auto names = await(backend->names(id)).value();
        for (const auto& name : names) found[name] = look(id, name);
        return found;
    }
    std::shared_ptr<void> watch(const session_id& id, std::function<void(const session_event&)> tell) {
        return await(backend->watch(id, std::move(tell))).value();
    }
    void close(const session_id& id) { ASSERT_TRUE(await(backend->close(id))); }

    void expect_closed(const session_id& id) {
        EXPECT_EQ(read(id, {"x"}).error(), errc::session_closed);
        EXPECT_EQ(write(id, set("x", "2")).error(), errc::session_closed);
        EXPECT_EQ(await(backend->names(id)).error(), errc::session_closed);
        EXPECT_EQ(await(backend->expire_after(id, 1h)).error(), errc::session_closed);
        EXPECT_EQ(await(backend->watch(id, [](const session_event&) {})).error(), errc::session_closed);
        EXPECT_EQ(await(backend->close(id)).error(), errc::session_closed);
    }

    const std::unique_ptr<backend_surroundings> around = GetParam()();
    std::shared_ptr<session_backend> backend;
};

TEST_P(SessionBackendContract, GivesTheSameSessionForTheSameKey) {
    make();
    const auto alice = open();
    EXPECT_EQ(alice.key, "alice");
    EXPECT_NE(alice.incarnation, 0U);
    EXPECT_EQ(open(), alice);
    EXPECT_NE(open("bob"), alice);
    ASSERT_TRUE(write(alice, set("x", "1")));
    EXPECT_EQ(look(open(), "x"), "1@1");
    EXPECT_EQ(look(open("bob"), "x"), "");
}

TEST_P(SessionBackendContract, RefusesNamesThatAreEmptyTooLongOrNotUtf8) {
    make();
    const auto id = open();
    const std::string longest(max_name_bytes, 'n');
    for (const auto& wrong : strings{"", longest + "n", "\xff", "a\xc0\x80"}) {
        EXPECT_EQ(await(backend->open(wrong)).error(), errc::invalid_name);
        EXPECT_EQ(read(id, {"x", wrong}).error(), errc::invalid_name);
        EXPECT_EQ(write(id, {set("x", "1"), set(wrong, "1")}).error(), errc::invalid_name);
        EXPECT_EQ(write(id, {set("x", "1"), erase(wrong)}).error(), errc::invalid_name);
    }
    EXPECT_EQ(write(id, {set("x", "1"), set("y", "1"), set("x", "2")}).error(), errc::invalid_name);
    EXPECT_TRUE(all(id).empty());
    for (const auto& right : strings{longest, "\xc3\xa4", std::string("a\0b", 3)}) {
        EXPECT_EQ(open(right).key, right);
        ASSERT_TRUE(write(id, set(right, "1")));
    }
    EXPECT_EQ(all(id).size(), 3U);
}

TEST_P(SessionBackendContract, ReadsInTheOrderAskedFor) {
    make();
    const auto id = open();
    EXPECT_TRUE(write(id, std::vector<session_change>()).value().empty());
    EXPECT_TRUE(read(id, {}).value().empty());
    EXPECT_THAT(write(id, {set("a", "1"), set("b", ""), set("c", std::string("\0\xff", 2))}).value(),
                ::testing::ElementsAre(1, 2, 3));
    const auto found = read(id, {"c", "none", "b", "c"}).value();
    ASSERT_EQ(found.size(), 4U);
    EXPECT_EQ(*found[0].bytes, std::string("\0\xff", 2));
    EXPECT_EQ(found[1].bytes, nullptr);
    EXPECT_EQ(found[1].version, 0U);
    ASSERT_NE(found[2].bytes, nullptr);
    EXPECT_EQ(*found[2].bytes, "");
    EXPECT_EQ(found[2].version, 2U);
    EXPECT_EQ(found[3].version, 3U);
    EXPECT_THAT(await(backend->names(id)).value(), ::testing::UnorderedElementsAre("a", "b", "c"));
}

TEST_P(SessionBackendContract, LetsVersionsOnlyGrow) {
    make();
    const auto id = open();
    EXPECT_EQ(write(id, set("x", "1")).value().at(0), 1U);
    EXPECT_EQ(write(id, set("x", "1")).value().at(0), 2U);
    EXPECT_EQ(write(id, erase("x")).value().at(0), 3U);
    EXPECT_EQ(look(id, "x"), "");
    EXPECT_EQ(write(id, erase("x")).value().at(0), 0U) << "nothing was erased";
    EXPECT_EQ(write(id, set("y", "1")).value().at(0), 4U);
    EXPECT_EQ(write(id, set("x", "2")).value().at(0), 5U);
    EXPECT_EQ(look(id, "x"), "2@5");
}

TEST_P(SessionBackendContract, WritesOnlyOverTheVersionThatIsExpected) {
    make();
    const auto id = open();
    EXPECT_EQ(write(id, set("x", "1", 1)).error(), errc::version_conflict);
    EXPECT_EQ(write(id, erase("x", 7)).error(), errc::version_conflict);
    EXPECT_EQ(write(id, set("x", "1", 0)).value().at(0), 1U);
    EXPECT_EQ(write(id, set("x", "2", 0)).error(), errc::version_conflict);
    EXPECT_EQ(write(id, erase("x", 0)).error(), errc::version_conflict);
    EXPECT_EQ(write(id, set("x", "2", 1)).value().at(0), 2U);
    EXPECT_EQ(write(id, erase("x", 1)).error(), errc::version_conflict);
    EXPECT_EQ(look(id, "x"), "2@2");
    EXPECT_EQ(write(id, erase("x", 2)).value().at(0), 3U);
    EXPECT_EQ(write(id, erase("x", 0)).value().at(0), 0U);
    EXPECT_EQ(write(id, set("x", "3", 2)).error(), errc::version_conflict) << "a version from before the erasure";
    EXPECT_EQ(write(id, set("x", "3", 0)).value().at(0), 4U);
}

TEST_P(SessionBackendContract, WritesAllOrNothing) {
    make({.max_value_bytes = 10});
    const auto id = open();
    ASSERT_TRUE(write(id, {set("a", "1"), set("b", "2")}));
    heard ear;
    const auto watching = watch(id, ear.ear());
    EXPECT_EQ(write(id, {set("a", "x"), erase("b"), set("c", "x"), set("d", "x", 9)}).error(), errc::version_conflict);
    EXPECT_EQ(write(id, {set("a", "x"), erase("b"), set("c", std::string(11, 'x'))}).error(), errc::value_too_large);
    EXPECT_THAT(all(id), ::testing::ElementsAre(std::pair("a", "1@1"), std::pair("b", "2@2")));
    EXPECT_TRUE(ear.said().empty());
    EXPECT_THAT(write(id, {set("a", "x", 1), erase("b", 2), set("c", "y", 0), erase("d")}).value(),
                ::testing::ElementsAre(3, 4, 5, 0));
    EXPECT_THAT(all(id), ::testing::ElementsAre(std::pair("a", "x@3"), std::pair("c", "y@5")));
    EXPECT_THAT(ear.said(), ::testing::ElementsAre("a=x@3", "-b@4", "c=y@5"));
}

TEST_P(SessionBackendContract, LimitsTheVariablesOfASession) {
    make({.max_variables = 3});
    const auto id = open();
    ASSERT_TRUE(write(id, {set("a", "1"), set("b", "1"), set("c", "1")}));
    EXPECT_EQ(write(id, set("d", "1")).error(), errc::too_many_variables);
    EXPECT_EQ(write(id, {set("d", "1"), set("e", "1"), erase("a")}).error(), errc::too_many_variables);
    EXPECT_TRUE(write(id, {set("d", "1"), erase("a")})) << "as many as before";
    EXPECT_TRUE(write(id, set("b", "2")));
    EXPECT_THAT(all(id), ::testing::ElementsAre(std::pair("b", "2@6"), std::pair("c", "1@3"), std::pair("d", "1@4")));
    EXPECT_TRUE(write(open("bob"), set("d", "1"))) << "another session's";
}

TEST_P(SessionBackendContract, LimitsTheBytesOfAValueAndOfASession) {
    make({.max_value_bytes = 100, .max_session_bytes = 250});
    const auto id = open();
    EXPECT_EQ(write(id, set("a", std::string(101, 'x'))).error(), errc::value_too_large);
    ASSERT_TRUE(write(id, set("a", std::string(100, 'x'))));
    ASSERT_TRUE(write(id, set("b", std::string(100, 'x'))));
    EXPECT_EQ(write(id, set("c", std::string(48, 'x'))).error(), errc::session_too_large) << "the name counts";
    ASSERT_TRUE(write(id, set("c", std::string(47, 'x'))));
    EXPECT_EQ(write(id, set("c", std::string(48, 'x'))).error(), errc::session_too_large);
    EXPECT_EQ(write(id, set("d", "")).error(), errc::session_too_large);
    ASSERT_TRUE(write(id, {erase("a"), set("d", std::string(100, 'y'))})) << "what is erased makes room";
    ASSERT_TRUE(write(id, {set("b", ""), set("a", std::string(99, 'y'))})) << "so does what gets smaller";
    EXPECT_EQ(all(id).size(), 4U);
}

TEST_P(SessionBackendContract, LimitsTheSessions) {
    make({.max_sessions = 3, .ttl = 1s});
    const auto a = open("a");
    open("b");
    open("c");
    EXPECT_EQ(await(backend->open("d")).error(), errc::too_many_sessions);
    EXPECT_EQ(open("a"), a) << "that there is already";
    close(a);
    open("d");
    EXPECT_EQ(await(backend->open("e")).error(), errc::too_many_sessions);
    let_pass(1100ms);
    EXPECT_TRUE(await(backend->open("e"))) << "what has expired does not count";
}

TEST_P(SessionBackendContract, NeverRevivesAClosedSession) {
    make();
    const auto before = open();
    ASSERT_TRUE(write(before, set("x", "1")));
    close(before);
    expect_closed(before);
    const auto after = open();
    EXPECT_NE(after, before);
    expect_closed(before);
    EXPECT_TRUE(all(after).empty());
    ASSERT_TRUE(write(after, set("x", "3")));
    EXPECT_EQ(look(after, "x"), "3@1") << "versions are the session's";
    expect_closed(before);
    EXPECT_EQ(look(after, "x"), "3@1");
}

TEST_P(SessionBackendContract, KnowsForgedIncarnations) {
    make();
    const auto alice = open();
    const auto bob = open("bob");
    ASSERT_TRUE(write(alice, set("x", "secret")));
    expect_closed({"bob", alice.incarnation});
    expect_closed({"nobody", alice.incarnation});
    for (const auto forged : {std::uint64_t{0}, alice.incarnation + 1, ~std::uint64_t{0}, alice.incarnation ^ 1U << 31})
        if (forged != bob.incarnation) expect_closed({"alice", forged});
    EXPECT_EQ(look(alice, "x"), "secret@1");
    EXPECT_TRUE(all(bob).empty());
}

TEST_P(SessionBackendContract, EndsASessionThatNobodyUses) {
    make({.ttl = 1s});
    const auto id = open();
    ASSERT_TRUE(write(id, set("x", "1")));
    let_pass(1100ms);
    expect_closed(id);
    const auto next = open();
    EXPECT_NE(next, id);
    EXPECT_TRUE(all(next).empty());
    expect_closed(id);
}

TEST_P(SessionBackendContract, PutsTheEndOffWithEachUse) {
    make({.ttl = 1s});
    const auto id = open();
    const std::vector<std::function<void()>> uses{
        [&] { EXPECT_EQ(open(), id); },
        [&] { EXPECT_TRUE(read(id, {"x"})); },
        [&] { EXPECT_TRUE(write(id, set("x", "1"))); },
        [&] { EXPECT_TRUE(await(backend->names(id))); },
        [&] { EXPECT_TRUE(await(backend->expire_after(id, 1s))); },
    };
    for (const auto& use : uses) {
        let_pass(700ms);
        use();
    }
    let_pass(700ms);
    EXPECT_EQ(look(id, "x"), "1@1");
    let_pass(1100ms);
    expect_closed(id);
}

TEST_P(SessionBackendContract, ExpiresAsTheSessionWasTold) {
    make({.ttl = 1s});
    const auto id = open();
    ASSERT_TRUE(await(backend->expire_after(id, 3s)));
    let_pass(2s);
    EXPECT_TRUE(read(id, {"x"}));
    let_pass(2s);
    EXPECT_TRUE(read(id, {"x"})) << "counted from the last use";
    ASSERT_TRUE(await(backend->expire_after(id, 500ms)));
    let_pass(600ms);
    expect_closed(id);
    const auto for_ever = open();
    ASSERT_TRUE(await(backend->expire_after(for_ever, 0ms)));
    let_pass(3s);
    EXPECT_TRUE(read(for_ever, {"x"}));
    ASSERT_TRUE(await(backend->expire_after(for_ever, std::chrono::milliseconds::max())));
    EXPECT_TRUE(read(for_ever, {"x"}));
}

TEST_P(SessionBackendContract, KeepsSessionsForEverWithoutATtl) {
    make({.ttl = 0ms});
    const auto id = open();
    let_pass(3s);
    EXPECT_TRUE(read(id, {"x"}));
    ASSERT_TRUE(await(backend->expire_after(id, 500ms)));
    let_pass(600ms);
    expect_closed(id);
}

TEST_P(SessionBackendContract, TellsWatchersWhatChangesInOrder) {
    make();
    const auto id = open();
    ASSERT_TRUE(write(id, set("before", "1")));
    heard first;
    heard second;
    const auto watching = watch(id, first.ear());
    ASSERT_TRUE(write(id, {set("x", "1"), set("y", "2")}));
    auto also = watch(id, second.ear());
    ASSERT_TRUE(write(id, {erase("x"), erase("x2"), set("x3", "3")}));
    ASSERT_TRUE(write(open("bob"), set("x", "not alice's")));
    also.reset();
    ASSERT_TRUE(write(id, set("x", "4")));
    close(id);
    open();
    ASSERT_TRUE(write(open(), set("x", "another session's")));
    EXPECT_THAT(first.said(), ::testing::ElementsAre("x=1@2", "y=2@3", "-x@4", "x3=3@5", "x=4@6", "closed"));
    EXPECT_THAT(second.said(), ::testing::ElementsAre("-x@4", "x3=3@5"));
}

TEST_P(SessionBackendContract, TellsWatchersThatASessionExpired) {
    make({.ttl = 1s});
    const auto id = open();
    heard ear;
    const auto watching = watch(id, ear.ear());
    let_pass(1100ms);
    EXPECT_FALSE(read(id, {"x"}));
    EXPECT_THAT(ear.said(), ::testing::ElementsAre("closed"));
}

TEST_P(SessionBackendContract, IsNotHurtByWhatWatchersDo) {
    make();
    const auto id = open();
    const auto thrower = watch(id, [](const session_event&) { throw std::runtime_error("a watcher's"); });
    std::shared_ptr<void> once;
    int told = 0;
    once = watch(id, [&](const session_event&) {
        ++told;
        once.reset();
    });
    const auto echo = watch(id, [&](const session_event& e) {  // operations are allowed, and told of after this
        if (e.name != "x") return;
        EXPECT_TRUE(write(id, set("echo", *e.bytes)));
    });
    heard ear;
    const auto watching = watch(id, ear.ear());
    ASSERT_TRUE(write(id, {set("x", "1"), set("y", "2")}));
    EXPECT_THAT(ear.said(), ::testing::ElementsAre("x=1@1", "y=2@2", "echo=1@3"));
    EXPECT_EQ(told, 1);
}

TEST_P(SessionBackendContract, LetsExactlyOneOfSeveralWritersWin) {
    make();
    const auto id = open();
    constexpr int rounds = 10'000;
    constexpr int writers = 4;
    ASSERT_TRUE(write(id, set("x", "0", 0)));
    std::vector<std::atomic<int>> winners(rounds);
    std::atomic<int> strange = 0;
    std::barrier begin(writers);
    std::vector<std::thread> threads;
    for (int w = 0; w < writers; ++w)
        threads.emplace_back([&, w] {
            for (int r = 0; r < rounds; ++r) {
                begin.arrive_and_wait();
                const auto expected = static_cast<std::uint64_t>(r) + 1;
                const auto done = write(id, set("x", std::to_string(w), expected));
                if (done && done->at(0) == expected + 1) ++winners[static_cast<std::size_t>(r)];
                else if (done || done.error() != errc::version_conflict) ++strange;
            }
        });
    for (auto& t : threads) t.join();
    for (int r = 0; r < rounds; ++r) ASSERT_EQ(winners[static_cast<std::size_t>(r)], 1) << r;
    EXPECT_EQ(strange, 0);
}

TEST_P(SessionBackendContract, TellsWritesOfSeveralThreadsInTheOrderOfTheirVersions) {
    make();
    const auto id = open();
    heard ear;
    auto watching = watch(id, ear.ear());
    constexpr std::uint64_t each = 1'000;
    std::vector<std::thread> threads;
    for (int w = 0; w < 3; ++w)
        threads.emplace_back([&, name = std::string(1, static_cast<char>('a' + w))] {
            for (std::uint64_t i = 0; i < each; ++i) EXPECT_TRUE(write(id, set(name, "1")));
        });
    for (auto& t : threads) t.join();
    const auto versions = ear.versions();
    ASSERT_EQ(versions.size(), 3 * each);
    for (std::uint64_t i = 0; i < versions.size(); ++i) ASSERT_EQ(versions[i], i + 1);
}

TEST_P(SessionBackendContract, DoesAsAMapWouldWhateverIsDone) {
    make();
    std::mt19937 random(20'240'501);
    const auto up_to = [&](int n) { return std::uniform_int_distribution<int>(0, n)(random); };
    const auto id = open();
    std::map<std::string, std::pair<std::string, std::uint64_t>> model;
    std::uint64_t version = 0;
    for (int i = 0; i < 20'000; ++i) {
        const auto name = "v" + std::to_string(up_to(i < 10'000 ? 60 : 6));
        const auto known = model.find(name);
        if (up_to(2) == 0) {
            const auto taken = write(id, erase(name)).value().at(0);
            ASSERT_EQ(taken, known == model.end() ? 0 : ++version);
            if (known != model.end()) model.erase(known);
        } else if (up_to(1) == 0) {
            const auto text = std::to_string(i);
            const std::uint64_t expected = known == model.end() ? 0 : known->second.second;
            ASSERT_EQ(write(id, set(name, text, expected)).value().at(0), ++version);
            model[name] = {text, version};
        } else {
            const auto found = read(id, {name}).value().at(0);
            ASSERT_EQ(found.bytes != nullptr, known != model.end()) << name;
            if (found.bytes) {
                ASSERT_EQ(*found.bytes, known->second.first);
                ASSERT_EQ(found.version, known->second.second);
            }
        }
    }
    strings names;
    for (const auto& [name, what] : model) names.push_back(name);
    EXPECT_THAT(await(backend->names(id)).value(), ::testing::UnorderedElementsAreArray(names));
}

}  // namespace snakepit::testing
