// Which call a line comes from.

#include "process/output_line.hpp"

#include <gtest/gtest.h>

#include <string>

namespace snakepit::detail {
namespace {

const std::string trace = "0af7651916cd43dd8448eb211c80319c";

TEST(OutputLine, HasTheCallOfItsTag) {
    const auto line =
        "\x1d"
        "12;count;" +
        trace + "\x1dhello";
    const auto parsed = output_line::parse(line);
    EXPECT_EQ(parsed.text, "hello");
    EXPECT_EQ(parsed.call, 12u);
    EXPECT_EQ(parsed.tool, "count");
    EXPECT_EQ(parsed.trace_id, trace);
}

TEST(OutputLine, NeedsNoTrace) {
    const auto parsed = output_line::parse(
        "\x1d"
        "1;t;\x1d");
    EXPECT_EQ(parsed.text, "");
    EXPECT_EQ(parsed.call, 1u);
    EXPECT_EQ(parsed.trace_id, "");
}

TEST(OutputLine, LeavesWhatIsNoTagAsItIs) {
    for (const auto& line : {std::string(), std::string("plain"), std::string("\x1d"), std::string("\x1d\x1d"),
                             std::string("\x1d"
                                         "1;t;"),
                             std::string("\x1d"
                                         "0;t;\x1dx"),
                             std::string("\x1d"
                                         "-1;t;\x1dx"),
                             std::string("\x1d"
                                         "1;t\x1dx"),
                             std::string("\x1d"
                                         "1x;t;\x1dx"),
                             std::string("\x1d"
                                         "1;t;nothex\x1dx"),
                             std::string("\x1d"
                                         "99999999999999999999;t;\x1dx"),
                             "\x1d"
                             "1;" +
                                 std::string(300, 't') + ";\x1dx"}) {
        const auto parsed = output_line::parse(line);
        EXPECT_EQ(parsed.text, line);
        EXPECT_EQ(parsed.call, 0u);
        EXPECT_EQ(parsed.tool, "");
    }
}

}  // namespace
}  // namespace snakepit::detail
