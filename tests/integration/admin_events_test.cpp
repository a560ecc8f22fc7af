// What the admin socket tells of what happens.

#include "pool/pool_impl.hpp"
#include "support/admin_fixture.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace snakepit::test {
namespace {

using ::testing::HasSubstr;

TEST_F(Admin, EventsAreFollowedAsTheyHappen) {
    with_pool(options(), [&](pool& p) -> awaitable<> {
        auto all = connect();
        auto of_w1 = connect();
        value reply =
            co_await all.ask(R"({"command": "events", "follow": true, "only": ["worker_ended", "call_ended"]})");
        EXPECT_EQ(reply, value({{"ok", true}}));
        reply =
            co_await of_w1.ask(R"({"command": "events", "follow": true, "only": ["worker_ended"], "worker": "w1"})");
        EXPECT_EQ(reply, value({{"ok", true}}));
        EXPECT_OK(co_await p.execute("echo", 1));
        std::optional<value> e = co_await all.read();
        CO_ASSERT(e);
        EXPECT_EQ(e->at("event"), "call_ended");
        EXPECT_EQ(e->at("tool"), "echo");
        auto c = connect();
        for (const auto* worker : {"w0", "w1"}) {
            const auto line = fmt::format(R"({{"command": "kill", "worker": "{}"}})", worker);
            reply = co_await c.ask(line);
            EXPECT_EQ(reply["ok"], true);
            e = co_await all.read();
            CO_ASSERT(e);
            EXPECT_EQ(e->at("event"), "worker_ended");
            EXPECT_EQ(e->at("worker"), worker);
        }
        e = co_await of_w1.read();
        CO_ASSERT(e);
        EXPECT_EQ(e->at("worker"), "w1");
    });
}

TEST_F(Admin, EventsThatHaveHappenedAreKept) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        auto c = connect();
        value reply = co_await c.ask(R"({"command": "kill", "worker": "w0"})");
        const std::function<bool()> is_back = [&p] { return p.workers()[0].restarts == 1 && is_whole(p); };
        CO_ASSERT(co_await comes_true(is_back, 10s * slow));
        reply = co_await c.ask(R"({"command": "events", "only": ["worker_ended", "pool_started"]})");
        CO_ASSERT(reply["events"].size() == 2);
        EXPECT_EQ(reply["events"][0]["event"], "pool_started");
        EXPECT_EQ(reply["events"][1]["event"], "worker_ended");
        EXPECT_EQ(reply["events"][1]["why"]["code"], "worker_lost");
        reply = co_await c.ask(R"({"command": "events", "worker": "w0"})");
        EXPECT_GT(reply["events"].size(), 3u);
        reply = co_await c.ask(R"({"command": "events", "only": ["call_ended"]})");
        EXPECT_EQ(message_of(reply), "\"call_ended\" is not kept: follow the events to see it");
    });
}

TEST_F(Admin, EventsOfAWorkerThatHasLeftAreKept) {
    with_pool(options(), [&](pool& p) -> awaitable<> {
        auto c = connect();
        value reply = co_await c.ask(R"({"command": "resize", "min": 1})");
        const std::function<bool()> has_left = [&p] { return p.workers().size() == 1; };
        CO_ASSERT(co_await comes_true(has_left, 10s * slow));
        const std::string gone = p.workers()[0].id == "w0" ? "w1" : "w0";
        reply = co_await c.ask(fmt::format(R"({{"command": "events", "worker": "{}"}})", gone));
        EXPECT_FALSE(reply["events"].empty()) << reply;
        reply = co_await c.ask(R"({"command": "events", "worker": "w9"})");
        EXPECT_EQ(code_of(reply), "bad_arguments");
        reply = co_await c.ask(R"({"command": "events", "worker": "w9", "follow": true})");
        EXPECT_EQ(reply, value({{"ok", true}}));
    });
}

TEST_F(Admin, OnlyTheLast256EventsAreKept) {
    with_pool(one_worker(), [&](pool& p) -> awaitable<> {
        for (int i = 0; i < 300; ++i) {
            p.impl()->drain();
            p.impl()->resume();
        }
        auto c = connect();
        const value reply = co_await c.ask(R"({"command": "events"})");
        EXPECT_EQ(reply["events"].size(), 256u);
        EXPECT_EQ(reply["events"][255]["event"], "pool_resumed");
    });
}

TEST_F(Admin, WhoFollowsHearsOfThePoolsEnd) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), options());
        CO_ASSERT_OK(co_await p.start());
        auto c = connect();
        const value reply = co_await c.ask(R"({"command": "events", "follow": true, "only": ["pool_stopped"]})");
        EXPECT_EQ(reply["ok"], true);
        EXPECT_OK(co_await p.stop());
        const std::optional<value> last = co_await c.read();
        CO_ASSERT(last);
        EXPECT_EQ(last->at("event"), "pool_stopped");
        const std::optional<value> none = co_await c.read();
        EXPECT_FALSE(none);
    });
}

TEST_F(Admin, WhoWaitsWhenThePoolStopsIsToldSo) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), one_worker());
        CO_ASSERT_OK(co_await p.start());
        asio::co_spawn(*io, p.execute("hold", "a"), [](std::exception_ptr, const result<value>&) {});
        CO_ASSERT(co_await begun(1));
        auto c = connect();
        auto idle = connect();
        CO_ASSERT(co_await c.send("{\"command\": \"recycle\", \"worker\": \"w0\"}\n"));
        const std::function<bool()> is_at_it = [&p] {
            return p.workers()[0].state == worker_state::recycling || p.workers()[0].incarnation > 1;
        };
        CO_ASSERT(co_await comes_true(is_at_it, 10s * slow));
        scratch().write("a.go", "");
        EXPECT_OK(co_await p.stop());
        const std::optional<value> reply = co_await c.read();
        CO_ASSERT(reply);
        EXPECT_TRUE(reply->contains("ok")) << *reply;
        const std::optional<value> none = co_await idle.read();
        EXPECT_FALSE(none);
    });
}

}  // namespace
}  // namespace snakepit::test
