// Names, JSON and filters of events, and their table in the documentation.

#include "telemetry/event_bus.hpp"
#include "telemetry/event_fields.hpp"

#include <snakepit/events.hpp>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace snakepit::detail {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class E>
E made() {
    return E{};
}
template <>
happened::worker_ended made() {
    return {"", 0, false, error(errc::worker_lost, "")};
}

template <std::size_t... I>
std::vector<happened::any> one_of_each(std::index_sequence<I...>) {
    return {made<std::variant_alternative_t<I, happened::any>>()...};
}

std::vector<happened::any> one_of_each() { return one_of_each(std::make_index_sequence<event_filter::kinds>()); }

std::string table_of_events() {
    std::string table =
        "# Events\n\n"
        "What `pool.events()` tells, and what metrics, traces and logs are made of. Generated from\n"
        "`include/snakepit/events.hpp` by `tests/unit/events_test.cpp`, which fails when the two differ; with\n"
        "`SNAKEPIT_UPDATE_DOCS=1` in its environment it writes this file.\n\n"
        "| `happened::` | when | what it tells |\n|---|---|---|\n";
    for (const auto& what : one_of_each()) {
        std::string fields;
        for_each_field(what, [&](const char* name, const auto&) {
            fields += fmt::format("{}`{}`", fields.empty() ? "" : ", ", name);
        });
        const auto [name, when] =
            std::visit([](const auto& e) { return std::pair(std::string(e.name), std::string(e.when)); }, what);
        table += fmt::format("| `{}` | {} | {} |\n", name, when, fields);
    }
    return table;
}

TEST(EventTable, IsTheOneInTheDocumentation) {
    const std::string path = std::string(std::getenv("SNAKEPIT_TEST_SOURCES")) + "/../docs/events.md";
    if (std::getenv("SNAKEPIT_UPDATE_DOCS")) std::ofstream(path) << table_of_events();
    std::ifstream file(path);
    const std::string written{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(written, table_of_events()) << "run this test with SNAKEPIT_UPDATE_DOCS=1";
}

TEST(Events, SayWhatTheyAreInJson) {
    const event e{std::chrono::system_clock::time_point(std::chrono::milliseconds(1'234)),
                  happened::worker_restarting{"w1", 3, std::chrono::milliseconds(250), restart_reason::exit}};
    EXPECT_EQ(name_of(e), "worker_restarting");
    EXPECT_EQ(
        to_value(e).dump(),
        R"({"event":"worker_restarting","pause":0.25,"reason":"exit","restarts":3,"time":"1970-01-01T00:00:01.234Z","worker":"w1"})");
}

TEST(Events, HaveJsonOfEachKind) {
    for (auto& what : one_of_each()) {
        const event e{std::chrono::system_clock::now(), std::move(what)};
        const auto json = to_value(e);
        EXPECT_EQ(json["event"], std::string(name_of(e)));
        EXPECT_FALSE(json.dump().empty());
    }
}

TEST(EventFilter, TakesNamesAndRefusesUnknownOnes) {
    const auto filter = event_filter::named({"worker_left", "call_slow"});
    ASSERT_TRUE(filter);
    EXPECT_TRUE(filter->wants({{}, happened::worker_left{"w0"}}));
    EXPECT_FALSE(filter->wants({{}, happened::worker_hired{"w0", ""}}));
    EXPECT_FALSE(event_filter::named({"worker_left", "no_such_event"}));
}

TEST(EventFilter, LooksForAWorker) {
    auto filter = event_filter();
    filter.worker("w1");
    EXPECT_TRUE(filter.wants({{}, happened::worker_left{"w1"}}));
    EXPECT_FALSE(filter.wants({{}, happened::worker_left{"w0"}}));
    EXPECT_FALSE(filter.wants({{}, happened::pool_stopped{}}));
}

class EventReader : public ::testing::Test {
protected:
    void publish(const std::string& worker) {
        bus_->publish([&] { return happened::worker_left{worker}; });
    }
    /// All that a coroutine reads until there is nothing more.
    std::vector<std::string> read_all(event_reader reader) {
        std::vector<std::string> read;
        asio::co_spawn(context_, drain(std::move(reader), read), [](std::exception_ptr e) {
            if (e) std::rethrow_exception(e);
        });
        context_.run();
        return read;
    }
    static asio::awaitable<void> drain(event_reader reader, std::vector<std::string>& into) {
        while (const auto e = co_await reader.next()) into.push_back(std::get<happened::worker_left>(e->what).worker);
    }

    std::shared_ptr<event_bus> bus_ = std::make_shared<event_bus>();
    const event_source source_{bus_};
    asio::io_context context_;
};

TEST_F(EventReader, GetsWhatWasToldUntilTheEnd) {
    auto reader = source_.read(event_filter());
    publish("a");
    publish("b");
    bus_->close();
    EXPECT_THAT(read_all(std::move(reader)), ElementsAre("a", "b"));
}

TEST_F(EventReader, LosesTheNewestWhenItDoesNotReadAndSaysHowMany) {
    auto reader = source_.read(event_filter(), 2);
    for (const char* worker : {"a", "b", "c", "d"}) publish(worker);
    EXPECT_EQ(reader.dropped(), 2U);
    bus_->close();
    EXPECT_THAT(read_all(std::move(reader)), ElementsAre("a", "b"));
}

TEST_F(EventReader, IsWokenByAnEventAndByTheEnd) {
    asio::post(context_, [&] {
        publish("a");
        asio::post(context_, [&] { bus_->close(); });
    });
    EXPECT_THAT(read_all(source_.read(event_filter())), ElementsAre("a"));
}

TEST_F(EventReader, HasNothingOfAPoolThatHasStopped) {
    bus_->close();
    EXPECT_THAT(read_all(source_.read(event_filter())), ElementsAre());
}

TEST_F(EventReader, LosesNoEventWhenItsWaitIsCancelled) {
    auto reader = source_.read(event_filter());
    asio::cancellation_signal stop;
    bool ended = false;
    const auto wait = [](event_reader& from, bool& over) -> asio::awaitable<void> {
        const auto e = co_await from.next();
        EXPECT_FALSE(e);
        over = true;
    };
    asio::co_spawn(context_, wait(reader, ended), asio::bind_cancellation_slot(stop.slot(), [](std::exception_ptr) {}));
    context_.poll();
    stop.emit(asio::cancellation_type::terminal);
    context_.restart();
    context_.run();
    EXPECT_TRUE(ended);
    publish("a");
    bus_->close();
    context_.restart();
    EXPECT_THAT(read_all(std::move(reader)), ElementsAre("a"));
}

TEST_F(EventReader, MayOutliveItsBus) {
    auto reader = source_.read(event_filter());
    publish("a");
    bus_->close();
    bus_.reset();
    EXPECT_THAT(read_all(std::move(reader)), ElementsAre("a"));
}

}  // namespace
}  // namespace snakepit::detail
