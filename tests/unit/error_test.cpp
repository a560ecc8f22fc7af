#include <snakepit/error.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>
#include <string>
#include <utility>

namespace snakepit {
namespace {

using ::testing::HasSubstr;

TEST(Error, HasWordsForEachCode) {
    for (const auto e :
         {errc::queue_full,         errc::deadline_exceeded, errc::cancelled,          errc::worker_lost,
          errc::pool_stopped,       errc::not_started,       errc::already_started,    errc::pool_degraded,
          errc::poison_call,        errc::unknown_tool,      errc::bad_arguments,      errc::tool_raised,
          errc::unserializable,     errc::message_too_large, errc::type_mismatch,      errc::invalid_options,
          errc::python_unfit,       errc::module_failed,     errc::start_timeout,      errc::launch_failed,
          errc::socket_directory,   errc::protocol_mismatch, errc::protocol_violation, errc::forked,
          errc::session_closed,     errc::version_conflict,  errc::invalid_name,       errc::too_many_sessions,
          errc::too_many_variables, errc::value_too_large,   errc::session_too_large,  errc::backend_failed,
          errc::host_tool_failed,   errc::would_deadlock,    errc::session_busy,       errc::session_moved,
          errc::stream_ended,       errc::tool_degraded}) {
        const std::error_code code = e;
        EXPECT_STREQ(code.category().name(), "snakepit");
        EXPECT_NE(code.message(), "unknown error") << code.value();
    }
    EXPECT_EQ(std::error_code(9999, error_category()).message(), "unknown error");
}

TEST(Error, SaysWhatToDoAboutIt) {
    EXPECT_TRUE(std::error_code(errc::worker_lost) == failure::retry_elsewhere);
    EXPECT_TRUE(std::error_code(errc::queue_full) == failure::retry_elsewhere);
    EXPECT_TRUE(std::error_code(errc::version_conflict) == failure::retry_elsewhere);
    EXPECT_TRUE(std::error_code(errc::session_busy) == failure::retry_elsewhere);
    EXPECT_TRUE(std::error_code(errc::session_moved) == failure::retry_elsewhere);
    EXPECT_TRUE(std::error_code(errc::tool_degraded) == failure::retry_elsewhere);
    EXPECT_TRUE(std::error_code(errc::session_closed) == failure::permanent);
    EXPECT_TRUE(std::error_code(errc::cancelled) == failure::caller_gave_up);
    EXPECT_TRUE(std::error_code(errc::deadline_exceeded) == failure::caller_gave_up);
    EXPECT_TRUE(std::error_code(errc::tool_raised) == failure::permanent);
    EXPECT_FALSE(std::error_code(errc::tool_raised) == failure::retry_elsewhere);
    EXPECT_FALSE(std::make_error_code(std::errc::timed_out) == failure::caller_gave_up);
    EXPECT_FALSE(std::error_code(4, std::generic_category()) == failure::retry_elsewhere);
}

TEST(Error, AddsFactsToACopyAndLeavesTheOriginalAlone) {
    const error bare(errc::worker_lost, "it ended");
    const auto full =
        bare.with_tool("t").with_worker("w3").with_exit({.code = -1, .signal = 9, .output_tail = "bye\n"});
    EXPECT_EQ(bare.tool(), "");
    EXPECT_EQ(bare.exit(), nullptr);
    EXPECT_EQ(full.tool(), "t");
    EXPECT_EQ(full.worker(), "w3");
    EXPECT_EQ(full.message(), "it ended");
    ASSERT_NE(full.exit(), nullptr);
    EXPECT_EQ(full.exit()->signal, 9);
    EXPECT_EQ(full, errc::worker_lost);
    EXPECT_EQ(full.summary(), "worker lost [tool t] [worker w3]: it ended");
    EXPECT_EQ(full.full(), full.summary() + "\nlast output of the worker:\nbye");
    EXPECT_EQ(full.retry_after().count(), 0);
    EXPECT_EQ(full.with_retry_after(std::chrono::milliseconds(7)).retry_after().count(), 7);
}

TEST(Error, PrintsWhatPythonRaised) {
    python_error raised;
    raised.type = "ValueError";
    raised.message = "no";
    raised.traceback = "Traceback (most recent call last):\nValueError: no\n";
    const auto e = error(errc::tool_raised, "ValueError: no").with_python(raised);
    ASSERT_NE(e.python(), nullptr);
    EXPECT_EQ(e.python()->type, "ValueError");
    EXPECT_THAT(fmt::format("{}", e), HasSubstr("\nTraceback (most recent call last):\nValueError: no"));
    std::ostringstream out;
    out << e;
    EXPECT_EQ(out.str(), e.full());
    EXPECT_NE(out.str().back(), '\n');
}

TEST(Error, IsStillUsableWhenMovedFrom) {
    error first(errc::cancelled, "words");
    const error second = std::move(first);
    EXPECT_EQ(second.message(), "words");
    // NOLINTNEXTLINE(bugprone-use-after-move): that is the question
    EXPECT_EQ(first.message(), "");
    EXPECT_EQ(first.tool(), "");
    EXPECT_EQ(first.python(), nullptr);
    EXPECT_EQ(first.with_tool("t").tool(), "t");
    EXPECT_FALSE(first.full().empty());
}

TEST(WorkerExit, TellsHowAProcessEnded) {
    const auto describe = [](int code, int signal) { return worker_exit{code, signal, {}}.describe(); };
    EXPECT_EQ(describe(3, 0), "exit code 3");
    EXPECT_EQ(describe(0, 0), "exit code 0");
    EXPECT_EQ(describe(-1, 9), "signal 9 (SIGKILL)");
    EXPECT_EQ(describe(-1, 40), "signal 40");
    EXPECT_EQ(describe(-1, 0), "unknown");
}

}  // namespace
}  // namespace snakepit
