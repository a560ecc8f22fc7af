#include "telemetry/event_bus.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace snakepit::detail {
namespace {

using ::testing::ElementsAre;

void hire(const event_bus& bus, std::string name) {
    bus.publish([&] { return happened::worker_hired{std::move(name), {}}; });
}

TEST(EventBus, TellsEverySubscriberInOrder) {
    event_bus bus;
    std::vector<std::string> told;
    const auto note = [&](const char* who) {
        return bus.subscribe(event_filter(), [&told, who](const event& e) {
            EXPECT_NE(e.time, std::chrono::system_clock::time_point());
            told.push_back(who + std::get<happened::worker_hired>(e.what).worker);
        });
    };
    const auto first = note("1:");
    {
        const auto second = note("2:");
        hire(bus, "a");
        hire(bus, "b");
    }
    hire(bus, "c");
    EXPECT_THAT(told, ElementsAre("1:a", "2:a", "1:b", "2:b", "1:c"));
}

TEST(EventBus, DoesNotMakeEventsThatNobodyWantsToKnow) {
    event_bus bus;
    int made = 0;
    const auto publish = [&] {
        bus.publish([&] {
            ++made;
            return happened::group_recovered{};
        });
    };
    publish();
    EXPECT_EQ(made, 0);
    std::optional<event_subscription> some(bus.subscribe(event_filter(), [](const event&) {}));
    publish();
    EXPECT_EQ(made, 1);
    some.reset();
    publish();
    EXPECT_EQ(made, 1);
}

TEST(EventBus, ContainsWhatASubscriberThrows) {
    event_bus bus;
    int told = 0;
    const auto bad = bus.subscribe(event_filter(), [](const event&) { throw std::runtime_error("oh"); });
    const auto good = bus.subscribe(event_filter(), [&](const event&) { ++told; });
    hire(bus, "a");
    EXPECT_EQ(told, 1);
}

TEST(EventBus, LetsASubscriberGoWithinItsCallAndAskForMore) {
    event_bus bus;
    std::vector<std::string> told;
    std::optional<event_subscription> once;
    std::optional<event_subscription> later;
    once.emplace(bus.subscribe(event_filter(), [&](const event& e) {
        told.push_back("once:" + std::get<happened::worker_hired>(e.what).worker);
        later.emplace(bus.subscribe(event_filter(), [&](const event& next) {
            told.push_back("later:" + std::get<happened::worker_hired>(next.what).worker);
        }));
        once.reset();
        hire(bus, "inner");
    }));
    hire(bus, "a");
    hire(bus, "b");
    EXPECT_THAT(told, ElementsAre("once:a", "later:inner", "later:b"));
}

TEST(EventBus, MayEndBeforeItsSubscriptions) {
    event_subscription left;
    {
        event_bus bus;
        left = bus.subscribe(event_filter(), [](const event&) {});
    }
}

/// Two threads that do it again and again, until the end of the scope.
class meanwhile {
public:
    explicit meanwhile(const std::function<void()>& what) {
        for (auto& t : threads_)
            t = std::thread([this, what] {
                while (!over_) what();
            });
    }
    ~meanwhile() {
        over_ = true;
        for (auto& t : threads_) t.join();
    }
    meanwhile(const meanwhile&) = delete;
    meanwhile& operator=(const meanwhile&) = delete;

private:
    std::atomic<bool> over_ = false;
    std::array<std::thread, 2> threads_;
};

TEST(EventBus, TellsNobodyWhoHasGoneWhateverOtherThreadsDo) {
    event_bus bus;
    const meanwhile others([&] { hire(bus, "a"); });
    std::uint64_t told = 0;
    for (int i = 0; i < 500; ++i) {
        auto alive = std::make_unique<int>(0);  // a call after the end would write to memory that is not there
        const auto subscription = bus.subscribe(event_filter(), [&, mine = alive.get()](const event&) { ++*mine; });
        while (i % 50 == 0 && told == 0) {
            std::this_thread::yield();
            const auto look = bus.subscribe(event_filter(), [&](const event&) { ++told; });
            hire(bus, "b");
        }
        told = 0;
    }
}

class told_calls final : public call_listener {
public:
    explicit told_calls(std::vector<std::string>& to) : to_(to) {}
    void ended(const happened::call_ended& call) override {
        to_.push_back("listener:" + call.tool);
        if (call.tool == "bad") throw std::bad_alloc();
    }

private:
    std::vector<std::string>& to_;
};

void end_call(const event_bus& bus, std::string tool) {
    bus.publish([&] {
        happened::call_ended e;
        e.tool = std::move(tool);
        return e;
    });
}

TEST(EventBus, TellsListenersOfCallsBeforeSubscribersHear) {
    event_bus bus;
    std::vector<std::string> told;
    told_calls listener(told);
    EXPECT_FALSE(bus.wants<happened::call_ended>());
    auto listening = bus.listen(listener);
    EXPECT_TRUE(bus.wants<happened::call_ended>());
    EXPECT_FALSE(bus.wants<happened::worker_hired>());
    end_call(bus, "a");
    {
        const auto ear = bus.subscribe(event_filter(), [&](const event& e) {
            EXPECT_NE(e.time, std::chrono::system_clock::time_point());
            told.push_back("subscriber:" + std::get<happened::call_ended>(e.what).tool);
        });
        end_call(bus, "bad");
        listening.reset();
        end_call(bus, "c");
    }
    EXPECT_FALSE(bus.wants<happened::call_ended>());
    EXPECT_THAT(told, ElementsAre("listener:a", "listener:bad", "subscriber:bad", "subscriber:c"));
}

TEST(EventBus, TellsListenersAtOnceOfACallThatASubscriberHasEnded) {
    event_bus bus;
    std::vector<std::string> told;
    told_calls listener(told);
    const auto listening = bus.listen(listener);
    const auto first = bus.subscribe(event_filter::only<happened::worker_hired>(), [&](const event&) {
        told.push_back("first");
        end_call(bus, "inner");
    });
    const auto second = bus.subscribe(event_filter(), [&](const event& e) {
        told.push_back("second:" + std::string(std::visit([](const auto& what) { return what.name; }, e.what)));
    });
    hire(bus, "a");
    EXPECT_THAT(told, ElementsAre("first", "listener:inner", "second:worker_hired", "second:call_ended"));
}

TEST(EventBus, TellsNoListenerThatHasGoneWhateverOtherThreadsDo) {
    event_bus bus;
    const meanwhile others([&] { end_call(bus, "a"); });
    for (int i = 0; i < 500; ++i) {
        std::vector<std::string> told;  // a call after the end would write to memory that is not there
        const auto listener = std::make_unique<told_calls>(told);
        const auto listening = bus.listen(*listener);
        end_call(bus, "b");
    }
}

TEST(EventBus, LosesNothingWhenAFilterChanges) {
    event_bus bus;
    constexpr int rounds = 20'000;
    int told = 0;
    auto ear = bus.subscribe(event_filter::only<happened::worker_hired>(), [&](const event&) { ++told; });
    std::thread teller([&] {
        for (int i = 0; i < rounds; ++i) hire(bus, "a");
    });
    for (int i = 0; i < 1'000; ++i) {
        bus.refilter(ear, event_filter());
        bus.refilter(ear, event_filter::only<happened::worker_hired>());
    }
    teller.join();
    EXPECT_EQ(told, rounds);
    bus.refilter(ear, event_filter::only<>());
    EXPECT_FALSE(bus.wants<happened::worker_hired>());
}

}  // namespace
}  // namespace snakepit::detail
