// Tools that raise and arguments that do not fit: typed errors, and the same worker serves on.

#include "support/pool_fixture.hpp"

namespace snakepit::test {
namespace {

class ToolErrors : public LaneTest {
protected:
    [[nodiscard]] pool_options one_worker() const {
        auto o = options("raisers");
        o.workers.min = 1;
        return o;
    }
};
INSTANTIATE_LANES(ToolErrors);

TEST_P(ToolErrors, TellTypeMessageTracebackAndCauses) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        const auto r = co_await p.execute("fail", "chain");
        CO_ASSERT(failed_with(r, errc::tool_raised));
        const auto& e = r.error();
        EXPECT_TRUE(e.code() == failure::permanent);
        EXPECT_EQ(e.tool(), "fail");
        EXPECT_EQ(e.worker(), "w0");
        CO_ASSERT(e.python());
        EXPECT_EQ(e.python()->type, "raisers.Missing");
        EXPECT_EQ(e.python()->message, "it is missing");
        CO_ASSERT(e.python()->causes.size() == 1);
        EXPECT_EQ(e.python()->causes[0].type, "KeyError");
        EXPECT_EQ(e.python()->causes[0].message, "'the root'");
        const auto& t = e.python()->traceback;
        for (const auto* part : {"raisers.py\", line ", "in _chain", "in _inner", "KeyError: 'the root'",
                                 "direct cause", "raisers.Missing: it is missing"})
            EXPECT_NE(t.find(part), t.npos) << part << " is not in " << t;
        EXPECT_EQ(t.find("_runner.py"), t.npos) << "our own frames are not the user's: " << t;
        EXPECT_NE(e.summary().find("it is missing"), std::string::npos);
        EXPECT_EQ(e.summary().find('\n'), std::string::npos) << "one line for logs";
        const auto context = co_await p.execute("fail", "context");
        CO_ASSERT(!context && context.error().python());
        EXPECT_EQ(context.error().python()->type, "ZeroDivisionError");
        CO_ASSERT(context.error().python()->causes.size() == 1);
        EXPECT_EQ(context.error().python()->causes[0].type, "KeyError");
    });
}

TEST_P(ToolErrors, WhateverIsRaisedTheWorkerServesOn) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        const auto first = co_await p.call<int>("pid");
        const std::vector<std::pair<std::string, std::string>> kinds = {
            {"no_str", "raisers.NoStr"},
            {"exit_str", "raisers.ExitStr"},
            {"system_exit", "SystemExit"},
            {"exit", "SystemExit"},
            {"keyboard", "KeyboardInterrupt"},
            {"memory", "MemoryError"},
            {"real_memory", "MemoryError"},
            {"recursion", "RecursionError"},
            {"generator_exit", "GeneratorExit"},
            {"stop_iteration", "StopIteration"},
            {"long_message", "ValueError"},
            {"not_utf8", "ValueError"},
            {"nul", "ValueError"},
            {"long_chain", "ValueError"},
            {"cycle", "ValueError"},
            {"group", "ExceptionGroup"},
            {"type_error", "TypeError"},
            {"os_error", "FileNotFoundError"},
            {"no_repr", "ValueError"},
        };
        for (const auto& [kind, type] : kinds) {
            const auto r = co_await p.execute("fail", kind);
            EXPECT_TRUE(failed_with(r, errc::tool_raised)) << kind;
            if (r || !r.error().python()) continue;
            const auto& e = *r.error().python();
            EXPECT_EQ(e.type, type) << kind;
            EXPECT_NE(e.traceback.find("raisers.py"), std::string::npos) << kind << ": " << e.traceback;
            EXPECT_LE(e.message.size(), 8u << 10) << kind;
            EXPECT_LE(e.traceback.size(), 32u << 10) << kind;
            EXPECT_LE(e.causes.size(), 8u) << kind;
            EXPECT_EQ(co_await p.call<int>("pid"), first) << "another worker after " << kind;
        }
        EXPECT_EQ(p.stats().workers[0].incarnation, 1u);
    });
}

TEST_P(ToolErrors, WrongArgumentsAreNamedAndTheToolIsNotRun) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        const auto first = co_await p.call<int>("pid");
        EXPECT_TRUE(
            failed_saying(co_await p.execute("takes", args("a", 1, "d", 4)), errc::bad_arguments, "'d'", "takes("));
        EXPECT_TRUE(failed_saying(co_await p.execute("takes", args("b", 1)), errc::bad_arguments, "missing", "'a'"));
        EXPECT_TRUE(failed_saying(co_await p.execute("takes", args("x", 1, "y", 2)), errc::bad_arguments, "'x'", "'y'",
                                  "missing", "'a'"));
        EXPECT_TRUE(failed_saying(co_await p.execute("takes", list()), errc::bad_arguments, "missing", "'a'"));
        EXPECT_TRUE(
            failed_saying(co_await p.execute("takes", list(1, 2, 3)), errc::bad_arguments, "too many", "3", "2"));
        EXPECT_TRUE(failed_saying(co_await p.execute("only_positions", args("a", 1, "b", 2)), errc::bad_arguments,
                                  "'a'", "position"));
        EXPECT_TRUE(failed_saying(co_await p.execute("only_positions", 1), errc::bad_arguments, "missing", "'b'"));
        EXPECT_TRUE(failed_saying(co_await p.execute("needs_name", list(1)), errc::bad_arguments, "'key'", "name"));
        EXPECT_TRUE(failed_saying(co_await p.execute("pid", 1), errc::bad_arguments, "too many"));
        EXPECT_TRUE(failed_saying(co_await p.execute("pid", args("a", 1)), errc::bad_arguments, "'a'"));
        EXPECT_TRUE(failed_with(co_await p.execute("takes", args(std::string(100'000, 'n'), 1)), errc::bad_arguments));
        EXPECT_TRUE(failed_with(co_await p.execute("takes", args("", 1)), errc::bad_arguments));
        const auto e = co_await p.execute("takes", list());
        EXPECT_TRUE(!e && e.error().code() == failure::permanent && e.error().tool() == "takes" && !e.error().python());
        EXPECT_EQ(co_await p.execute("takes", args("c", 30, "a", 10)), list(10, 2, 30));
        EXPECT_EQ(co_await p.execute("anything", args("self", 1, "args", 2)), list(list(), args("self", 1, "args", 2)));
        EXPECT_EQ(co_await p.execute("anything", nullptr), list(list(nullptr), args()));
        EXPECT_EQ(co_await p.call<int>("pid"), first);
    });
}

TEST_P(ToolErrors, UnknownToolsGetTheNearestNames) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        EXPECT_TRUE(failed_saying(co_await p.execute("fial", 1), errc::unknown_tool, "\"fial\"", "did you mean fail?"));
        EXPECT_TRUE(failed_saying(co_await p.execute("take", 1), errc::unknown_tool, "takes"));
        EXPECT_TRUE(failed_saying(co_await p.execute("", 1), errc::unknown_tool, "\"\""));
        EXPECT_TRUE(failed_saying(co_await p.execute("completely_different_thing", 1), errc::unknown_tool, "there are",
                                  "fail", "anything"));
        EXPECT_TRUE(failed_with(co_await p.execute("_chain", 1), errc::unknown_tool)) << "not a tool";
        EXPECT_TRUE(failed_with(co_await p.execute("os", 1), errc::unknown_tool));
        const auto before = clock::now();
        const auto huge = co_await p.execute(std::string(5'000'000, 'x'), 1);
        EXPECT_TRUE(failed_with(huge, errc::unknown_tool));
        EXPECT_LT(clock::now() - before, 1s * slow);
        EXPECT_EQ(p.stats().submitted, 0u);
        EXPECT_TRUE(co_await p.execute("pid"));
    });
}

TEST_P(ToolErrors, AThousandFailuresInARowChangeNothing) {
    with_pool(one_worker(), [](pool& p) -> awaitable<> {
        const auto first = co_await p.call<int>("pid");
        int failed = 0;
        for (int i = 0; i < 1000; ++i)
            async_execute(p, "fail", i % 2 ? "chain" : "system_exit", call_options(),
                          [&](const result<value>& r) { failed += !r && r.error() == errc::tool_raised; });
        CO_ASSERT(co_await comes_true([&] { return failed == 1000; }, 30s * slow));
        EXPECT_EQ(co_await p.call<int>("pid"), first);
        EXPECT_EQ(p.stats().failed, 1000u);
    });
}

TEST_P(ToolErrors, AFloodOfOutputNeitherBlocksNorGrows) {
    auto how = options();
    how.workers.min = 1;
    how.lane = GetParam();
    with_pool(how, [](pool& p) -> awaitable<> {
        EXPECT_EQ((co_await p.call<int>("say", std::string(1000, 'x') + "\n", "stdout", 10'000)), 10'000);
        EXPECT_EQ((co_await p.call<int>("say", std::string(10'000'000, 'y'), "stderr", 1)), 1) << "without a newline";
        EXPECT_EQ((co_await p.call<int>("add", 1)), 11);
    });
}

}  // namespace
}  // namespace snakepit::test
