// Whatever is declared as an event happens: each kind is provoked with real workers and heard.

#include "pool/pool_impl.hpp"
#include "support/pool_fixture.hpp"

#include <snakepit/events.hpp>

#include <gmock/gmock.h>
#include <asio/local/stream_protocol.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <set>

namespace snakepit::test {
namespace {

template <std::size_t... I>
std::set<std::string> all_kinds(std::index_sequence<I...>) {
    return {std::string(std::variant_alternative_t<I, happened::any>::name)...};
}

const std::string module_text = R"(
import asyncio, logging, os, time
import snakepit

@snakepit.tool(thread_safe=True)
def echo(x):
    return x

@snakepit.tool(thread_safe=True)
def slow():
    time.sleep(0.5)

@snakepit.tool(thread_safe=True)
def crash():
    os._exit(9)

@snakepit.tool(thread_safe=True)
def once(marker):
    if not os.path.exists(marker):
        os._exit(9)
    return "well"

@snakepit.tool(thread_safe=True)
def write():
    print("a line")
    logging.getLogger("everyday").error("a record")

@snakepit.tool(thread_safe=True)
def flood():
    for i in range(20_000):
        os.write(1, b"x" * 200 + b"\n")

@snakepit.tool
async def block():
    time.sleep(1.5)
)";

class EveryEvent : public PoolTest {
protected:
    pool_options quick() {
        auto how = module_of(module_text);
        how.workers = {1, 1};
        how.restart_backoff.first = 5ms;
        how.restart_backoff.longest = 100ms;
        return how;
    }
    /// Notes each kind of event that the pool tells of.
    event_subscription listen(pool& p) {
        return p.events().subscribe(event_filter(), [this](const event& e) {
            const std::lock_guard lock(mutex_);
            seen_.insert(std::string(name_of(e)));
        });
    }
    template <class Kind>
    [[nodiscard]] bool saw() const {
        const std::lock_guard lock(mutex_);
        return seen_.contains(std::string(Kind::name));
    }
    /// A pool that is listened to from its construction to its end.
    template <class F>
    void with_heard(const pool_options& how, F body) {
        auto made = std::make_unique<F>(std::move(body));
        run([&, this]() -> awaitable<> { return hear(*io, how, *made); });
    }
    template <class F>
    awaitable<> hear(asio::io_context& on, const pool_options& how, F& body) {
        pool p(on.get_executor(), how);
        const auto ear = listen(p);
        CO_ASSERT_OK(co_await p.start());
        co_await body(p);
        EXPECT_OK(co_await p.stop());
    }

    mutable std::mutex mutex_;
    std::set<std::string> seen_;
};

TEST_F(EveryEvent, IsTold) {
    auto how = quick();
    how.workers = {2, 2};
    how.heartbeat = {.interval = 50ms, .timeout = 2s * slow, .max_missed = 3, .initial_delay = 0ms, .jitter = 0};
    how.slow_call_threshold = 50ms;
    how.restart_limit.per_tool = 2;
    how.log.level = log_level::info;
    how.log.sink = [](const log_record&) {};
    with_heard(how, [this](pool& p) -> awaitable<> {
        CO_ASSERT_OK(co_await p.execute("echo", 1));
        CO_ASSERT_OK(co_await p.execute("slow"));
        CO_ASSERT_OK(co_await p.execute("write"));
        CO_ASSERT_OK(co_await p.execute("flood"));
        CO_ASSERT(co_await comes_true([&] {
            return saw<happened::worker_wrote>() && saw<happened::worker_logged>() && saw<happened::output_dropped>() &&
                   saw<happened::call_slow>() && saw<happened::heartbeat_answered>();
        }));
        const auto marker = (scratch().path() / "well").string();
        for (int i = 0; i < 2; ++i) EXPECT_TRUE(failed_with(co_await p.execute("once", marker), errc::worker_lost));
        CO_ASSERT(co_await comes_true([&] { return saw<happened::tool_degraded>() && is_whole(p); }));
        std::ofstream(marker) << "now";
        bool is_back = false;
        while (!is_back) is_back = (co_await p.execute("once", marker)).has_value();
        const worker_count one{1, 1};
        CO_ASSERT_OK(co_await p.resize(one));
        CO_ASSERT_OK(co_await p.recycle("w0"));
        p.impl()->drain();
        EXPECT_TRUE(failed_with(co_await p.execute("echo", 1), errc::pool_draining));
        p.impl()->resume();
        CO_ASSERT_OK(co_await p.execute("echo", 1));

        for (const auto& entry : fs::recursive_directory_iterator(runtime())) {
            if (!entry.is_socket() || entry.path().extension() == ".admin") continue;
            asio::local::stream_protocol::socket stranger(*io);
            stranger.connect(entry.path().string());
        }
        CO_ASSERT(co_await comes_true([&] { return saw<happened::connection_refused>(); }));
    });

    auto fragile = quick();
    fragile.restart_limit.per_worker = 1;
    with_heard(fragile, [this](pool& p) -> awaitable<> {
        for (int i = 0; i < 2; ++i) {
            CO_ASSERT(co_await comes_true([&] { return is_whole(p); }));
            EXPECT_OK(p.impl()->kill("w0"));
            CO_ASSERT(co_await comes_true([&] { return !is_whole(p); }));
        }
        CO_ASSERT(co_await comes_true([&] { return saw<happened::group_recovered>(); }));
    });

    auto awaiting = quick();
    awaiting.profile = worker_profile::async;
    with_heard(awaiting, [](pool& p) -> awaitable<> { CO_ASSERT_OK(co_await p.execute("block")); });

    auto exporting = quick();
    ::setenv("OTEL_TRACES_SAMPLER", "magic", 1);
    exporting.telemetry.otlp_endpoint = "http://127.0.0.1:1";  // nobody listens there
    exporting.telemetry.max_queued_spans = 1;
    with_heard(exporting, [this](pool& p) -> awaitable<> {
        for (int i = 0; i < 20; ++i) CO_ASSERT_OK(co_await p.execute("echo", i));
        CO_ASSERT(co_await comes_true([&] { return saw<happened::telemetry_dropped>(); }));
    });
    ::unsetenv("OTEL_TRACES_SAMPLER");

    EXPECT_THAT(seen_, ::testing::ContainerEq(all_kinds(std::make_index_sequence<event_filter::kinds>())));
}

TEST_F(EveryEvent, ACallsEndSaysHowLongEachPartOfItTook) {
    auto how = quick();
    with_pool(how, [](pool& p) -> awaitable<> {
        std::vector<happened::call_ended> ended;
        std::mutex mutex;
        const auto ear = p.events().subscribe(event_filter::only<happened::call_ended>(), [&](const event& e) {
            const std::lock_guard lock(mutex);
            ended.push_back(std::get<happened::call_ended>(e.what));
        });
        CO_ASSERT_OK(co_await p.execute("slow"));
        EXPECT_TRUE(failed_with(co_await p.execute("no_such_tool"), errc::unknown_tool));
        const std::lock_guard lock(mutex);
        CO_ASSERT(ended.size() == 2);
        const auto& slept = ended[0];
        EXPECT_EQ(slept.tool, "slow");
        EXPECT_EQ(slept.worker, "w0");
        EXPECT_EQ(slept.outcome, "ok");
        EXPECT_GE(slept.running, 500ms);
        EXPECT_EQ(slept.attempts.size(), 1u);
        const auto total = std::chrono::duration_cast<std::chrono::microseconds>(slept.ended - slept.submitted);
        EXPECT_LE(slept.queued + slept.dispatched + slept.wire + slept.running, total + 5us);  // each is rounded
        EXPECT_GE(slept.queued + slept.dispatched + slept.wire + slept.running, total - 5us);
        EXPECT_EQ(ended[1].outcome, "unknown_tool");
        EXPECT_EQ(ended[1].worker, "");
        EXPECT_TRUE(ended[1].why);
    });
}

TEST_F(EveryEvent, ACallThatIsRunAgainHasAnAttemptForEachTime) {
    auto how = module_of(R"(
import os
import snakepit

@snakepit.tool(idempotent=True)
def once(marker):
    if not os.path.exists(marker):
        open(marker, "w").close()
        os._exit(9)
    return "well"
)");
    how.workers = {2, 2};
    const auto marker = (scratch().path() / "ran").string();
    with_pool(how, [&](pool& p) -> awaitable<> {
        std::vector<happened::attempt> attempts;
        std::mutex mutex;
        const auto ear = p.events().subscribe(event_filter::only<happened::call_ended>(), [&](const event& e) {
            const std::lock_guard lock(mutex);
            attempts = std::get<happened::call_ended>(e.what).attempts;
        });
        CO_ASSERT_OK(co_await p.execute("once", marker));
        const std::lock_guard lock(mutex);
        CO_ASSERT(attempts.size() == 2);
        EXPECT_EQ(attempts[0].outcome, "worker_lost");
        EXPECT_EQ(attempts[1].outcome, "ok");
        EXPECT_NE(attempts[0].worker, "");
        EXPECT_LE(attempts[0].ended, attempts[1].sent);
    });
}

TEST_F(EveryEvent, TheStacksOfAWorkerSayWhereItIs) {
    auto how = quick();
    how.heartbeat = {.interval = 50ms, .timeout = 2s * slow, .max_missed = 3, .initial_delay = 0ms, .jitter = 0};
    with_pool(how, [](pool& p) -> awaitable<> {
        std::optional<result<value>> slept;
        async_execute(p, "slow", value::array(), call_options(), [&](result<value> r) { slept = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return p.workers()[0].running_for > 0us; }));  // as the heartbeat tells
        std::optional<result<std::string>> stacks;
        p.impl()->begin_stacks(
            "w0", {[&](result<std::string> s) { stacks = std::move(s); }, co_await asio::this_coro::executor});
        CO_ASSERT(co_await comes_true([&] { return stacks.has_value() && slept.has_value(); }));
        CO_ASSERT_OK(*stacks);
        EXPECT_NE((*stacks)->find("in slow"), std::string::npos) << **stacks;
        std::optional<result<std::string>> none;
        p.impl()->begin_stacks(
            "w7", {[&](result<std::string> s) { none = std::move(s); }, co_await asio::this_coro::executor});
        CO_ASSERT(co_await comes_true([&] { return none.has_value(); }));
        EXPECT_TRUE(failed_with(*none, errc::bad_arguments));
    });
}

}  // namespace
}  // namespace snakepit::test
