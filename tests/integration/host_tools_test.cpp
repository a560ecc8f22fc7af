// Host tools: Python calls C++.

#include "support/pool_fixture.hpp"
#include "telemetry/trace_context.hpp"

#include <snakepit/host_tools.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <stdexcept>

namespace snakepit::test {
namespace {

class HostTools : public LaneTest {
protected:
    [[nodiscard]] pool_options asking(int workers = 2) const {
        auto o = options("rememberers");
        o.workers.min = workers;
        return o;
    }
};
INSTANTIATE_LANES(HostTools);

asio::awaitable<result<value>> look_up(std::string key) {
    asio::steady_timer pause(co_await asio::this_coro::executor, 1ms);
    co_await pause.async_wait(asio::use_awaitable);
    if (key == "missing") co_return tl::unexpected(error(errc::bad_arguments, "no such key"));
    co_return value{{"key", key}};
}

// In plain functions: g++ 12 does not compile such temporaries in coroutines.
void offer_every_kind(pool& p) {
    auto tools = p.host_tools();
    EXPECT_OK(tools.add("look_up", &look_up));
    EXPECT_OK(tools.add("add", [](int a, int b) { return a + b; }, {.parameters = {"a", "b"}}));
    EXPECT_OK(tools.add("half", [](int a) -> result<double> { return a / 2.0; }));
    EXPECT_OK(tools.add("nothing", [] {}));
    EXPECT_OK(tools.add("wait", [](double s) -> asio::awaitable<void> {
        const auto time = std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(s));
        asio::steady_timer pause(co_await asio::this_coro::executor, time);
        co_await pause.async_wait(asio::use_awaitable);
    }));
    EXPECT_OK(tools.add("who", [](const host_call& c, std::string greeting) { return greeting + c.session(); }));
    EXPECT_OK(tools.add("same", [](value v) { return v; }));
    EXPECT_OK(tools.add("no_text", [] { return std::string("\xff"); }));
    EXPECT_OK(tools.add("too_deep", [] {
        value v;
        for (int i = 0; i < 2'000; ++i) v = value::array({std::move(v)});
        return v;
    }));
    EXPECT_OK(tools.add("too_large", [](std::size_t bytes) { return std::string(bytes, 'x'); }));
    EXPECT_OK(tools.add("throws", []() -> int { throw std::runtime_error("oh no"); }));
    EXPECT_OK(tools.add(
        "chained", [&p]() -> asio::awaitable<result<value>> { co_return co_await p.execute("fail", "deep down"); }));
    EXPECT_OK(tools.add("describe", [](std::string, int) { return true; },
                        {.parameters = {"name", "count"}, .doc = "Says what it is."}));
    EXPECT_OK(tools.add("twice", [&p](int n) -> asio::awaitable<result<value>> {
        const auto first = co_await p.execute("echo", n);
        if (!first) co_return first;
        co_return co_await p.execute("echo", n + first->get<int>());
    }));
    EXPECT_OK(tools.add("remember", [&p](int n) -> asio::awaitable<result<value>> {
        const value arguments = list("n", n);
        co_return co_await p.execute("put", arguments);  // in the session of the outer call
    }));
    EXPECT_OK(tools.add("again", [&p](int depth) -> asio::awaitable<result<value>> {
        if (depth == 0) co_return value("bottom");
        const value arguments = list("again", depth - 1);
        co_return co_await p.execute("ask", arguments);
    }));
}

void refuse_bad_offers(pool& p) {
    auto tools = p.host_tools();
    EXPECT_TRUE(failed_saying(tools.add("add", [] {}), errc::bad_arguments, "already"));
    EXPECT_TRUE(failed_with(tools.add("", [] {}), errc::invalid_name));
    EXPECT_TRUE(failed_saying(tools.add("two", [](int, int) {}, {.parameters = {"only"}}), errc::bad_arguments,
                              "1 names for 2 parameters"));
}

TEST_P(HostTools, OfEveryKindAnswer) {
    with_pool(asking(), [](pool& p) -> awaitable<> {
        offer_every_kind(p);
        const value found = {{"key", "k"}};
        EXPECT_EQ((co_await p.execute("ask", list("look_up", "k"))), found);
        EXPECT_EQ((co_await p.execute("ask", list("add", 2, 3))), 5);
        const value keywords = {{"b", 1}, {"a", 10}};
        EXPECT_EQ((co_await p.execute("ask_with", list("add", keywords))), 11);
        EXPECT_EQ((co_await p.execute("ask", list("half", 3))), 1.5);
        EXPECT_EQ((co_await p.execute("ask", list("nothing"))), nullptr);
        EXPECT_EQ((co_await p.execute("ask", list("wait", 0.001))), nullptr);
        const auto in_session = call_options().session("alice");
        EXPECT_EQ((co_await p.execute("ask", list("who", "hello "), in_session)), "hello alice");
        const value large = std::string(1'000'000, 'x');
        EXPECT_EQ((co_await p.execute("ask", list("same", large))), large);
    });
}

TEST_P(HostTools, FailWithTypedErrors) {
    auto how = asking();
    how.max_message_bytes = std::size_t{1} << 20;
    with_pool(how, [most = how.max_message_bytes](pool& p) -> awaitable<> {
        offer_every_kind(p);
        const auto said = [](const result<value>& r, auto... words) {
            EXPECT_OK(r);
            if (!r) return;
            (..., [&] { EXPECT_NE(r->dump().find(words), std::string::npos) << r->dump(); }());
        };
        said(co_await p.execute("ask_wrong", list("look_up", "missing")), "BadHostArguments", "no such key");
        said(co_await p.execute("ask_wrong", list("lok_up", "x")), "UnknownHostTool", "lok_up", "did you mean look_up");
        said(co_await p.execute("ask_wrong", list("add", 1)), "BadHostArguments",
             "takes 2 arguments, and 1 were given");
        said(co_await p.execute("ask_wrong", list("add", 1, "x")), "BadHostArguments", "argument 'b'");
        said(co_await p.execute("ask_wrong", list("add", 1, 1ull << 40)), "BadHostArguments", "argument 'b'");
        said(co_await p.execute("ask_wrong", list("throws")), "HostToolError", "oh no", "host_tool_failed");
        said(co_await p.execute("ask_wrong", list("chained")), "tool_raised", "ValueError", "deep down", "in fail");
        said(co_await p.execute("ask_wrong", list("no_text")), "HostToolError", "UTF-8");
        said(co_await p.execute("ask_wrong", list("too_deep")), "HostToolError", "nested");
        said(co_await p.execute("ask_wrong", list("too_large", most + 1)), "HostToolError", "message_too_large");
        refuse_bad_offers(p);
        EXPECT_TRUE(p.host_tools().remove("add"));
        said(co_await p.execute("ask_wrong", list("add", 1, 1)), "UnknownHostTool");
    });
}

TEST_P(HostTools, PresentThemselves) {
    auto how = asking(1);
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        offer_every_kind(p);
        CO_ASSERT_OK(co_await p.start());
        const auto about = co_await p.execute("about_host");
        CO_ASSERT_OK(about);
        EXPECT_NE((*about)[0].dump().find("\"describe\",\"half\""), std::string::npos) << *about;
        EXPECT_EQ((*about)[1], "describe(name: str, count: int) -> bool\n\nSays what it is.");
        CO_ASSERT_OK(co_await p.stop());
    });
}

TEST_P(HostTools, AreCancelledWithTheirCall) {
    with_pool(asking(1), [this](pool& p) -> awaitable<> {
        int begun = 0;
        int cancelled = 0;
        const auto sleep = [&]() -> asio::awaitable<void> {
            ++begun;
            asio::steady_timer pause(co_await asio::this_coro::executor, 1h);
            try {
                co_await pause.async_wait(asio::use_awaitable);
            } catch (const std::exception&) {
                ++cancelled;
                throw;
            }
        };
        CO_ASSERT_OK(p.host_tools().add("sleep", sleep));
        for (const bool by_deadline : {false, true}) {
            const auto mark = scratch().path() / (by_deadline ? "expired" : "cancelled");
            asio::cancellation_signal cancel;
            std::optional<result<value>> outcome;
            const value arguments = list(mark.string(), "sleep");
            const auto options = by_deadline ? call_options().timeout(500ms * slow) : call_options();
            async_execute(
                p, "ask_until_cancelled", arguments, options,
                asio::bind_cancellation_slot(cancel.slot(), [&](result<value> r) { outcome = std::move(r); }));
            CO_ASSERT(co_await comes_true([&] { return begun == 1 + by_deadline; }));
            if (!by_deadline) cancel.emit(asio::cancellation_type::terminal);
            CO_ASSERT(co_await comes_true([&] { return outcome && cancelled == 1 + by_deadline; }));
            EXPECT_TRUE(failed_with(*outcome, by_deadline ? errc::deadline_exceeded : errc::cancelled));
            CO_ASSERT(co_await comes_true([&] { return file_text(mark) == mark.filename(); }));
            EXPECT_EQ((co_await p.execute("echo", 1)), 1);
        }
        EXPECT_EQ(p.stats().workers[0].incarnation, 1u);
    });
}

TEST_P(HostTools, BelongToTheTraceOfTheirCall) {
    with_pool(asking(), [](pool& p) -> awaitable<> {
        const std::string parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        const std::string other = "00-4bf92f3577b34da6a3ce929d0e0e4736-53995c3f42cd8ad8-00";
        auto tools = p.host_tools();
        EXPECT_OK(tools.add("trace", [](const host_call& c) { return c.traceparent() + " " + c.tracestate(); }));
        EXPECT_OK(
            tools.add("nested", [&p]() -> asio::awaitable<result<value>> { co_return co_await p.execute("trace"); }));
        EXPECT_OK(tools.add("nested_other", [&p, other]() -> asio::awaitable<result<value>> {
            const auto how = call_options().traceparent(other);
            co_return co_await p.execute("trace", list(), how);
        }));
        const auto how = call_options().traceparent(parent).tracestate("a=b");
        const value carried = {parent, "a=b"};
        const value replaced = {other, nullptr};
        // Without one Python makes one up, which nobody records; the host has none.
        const auto is_made_up = [](const result<value>& seen) {
            if (!seen || !seen->is_array() || !(*seen)[0].is_string() || !(*seen)[1].is_null()) return false;
            const auto header = (*seen)[0].get<std::string>();
            return detail::is_traceparent(header) && header.ends_with("-00");
        };
        EXPECT_EQ((co_await p.execute("trace", list(), how)), carried);
        EXPECT_EQ((co_await p.execute("ask", list("trace"), how)), parent + " a=b");
        EXPECT_EQ((co_await p.execute("ask", list("nested"), how)), carried);
        EXPECT_EQ((co_await p.execute("ask", list("nested_other"), how)), replaced);
        EXPECT_TRUE(is_made_up(co_await p.execute("trace")));
        EXPECT_EQ((co_await p.execute("ask", list("trace"))), " ");
        EXPECT_TRUE(is_made_up(co_await p.execute("ask", list("nested"))));
        const auto broken = call_options().traceparent("00-nonsense").tracestate("a=b");
        EXPECT_TRUE(is_made_up(co_await p.execute("trace", list(), broken)));
    });
}

TEST_P(HostTools, MayCallThePool) {
    with_pool(asking(2), [](pool& p) -> awaitable<> {
        offer_every_kind(p);
        for (int i = 0; i < 20; ++i) EXPECT_EQ((co_await p.execute("ask", list("twice", i))), 2 * i);
        const auto in_session = call_options().session("s");
        EXPECT_EQ((co_await p.execute("ask", list("remember", 7), in_session)), 7);
        EXPECT_EQ((co_await p.execute("get", list("n"), in_session)), 7);
    });
}

TEST_P(HostTools, ThatWouldWaitForEachOtherEnd) {
    for (const int workers : {1, 2}) {
        with_pool(asking(workers), [workers](pool& p) -> awaitable<> {
            offer_every_kind(p);
            const auto deep = co_await p.execute("ask", list("again", workers - 1));
            CO_ASSERT_OK(deep);
            EXPECT_EQ(*deep, "bottom");
            const auto too_deep = co_await p.execute("ask", list("again", workers));
            EXPECT_TRUE(failed_saying(too_deep, errc::tool_raised, "would"));
            EXPECT_EQ((co_await p.execute("echo", 1)), 1);
            // Many at once: each ends, whatever comes of it.
            int open = 0;
            int deadlocks = 0;
            for (int i = 0; i < 20; ++i) {
                ++open;
                async_execute(p, "ask_wrong", list("again", 1), call_options(), [&](const result<value>& r) {
                    EXPECT_OK(r);
                    if (r && r->dump().find("WouldDeadlock") != std::string::npos) ++deadlocks;
                    --open;
                });
            }
            CO_ASSERT(co_await comes_true([&] { return open == 0; }, 20s * slow));
            EXPECT_GT(deadlocks, 0);
        });
    }
}

}  // namespace
}  // namespace snakepit::test
