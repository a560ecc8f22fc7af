#include "pool/tool_flags.hpp"

#include <gtest/gtest.h>

namespace snakepit::detail {
namespace {

TEST(ToolFlags, SayHowManyCallsRunTogether) {
    EXPECT_EQ(batch_of({}), 1);
    EXPECT_EQ(batch_of({"idempotent"}), 1);
    EXPECT_EQ(batch_of({"idempotent", "batch:64"}), 64);
    EXPECT_EQ(batch_of({"batch:1"}), 1);
    EXPECT_EQ(batch_of({"batch:4096"}), 4'096);
}

TEST(ToolFlags, OfABatchThatCannotBeMeantAreNotBelieved) {
    for (const char* flag : {"batch:", "batch:-3", "batch:0", "batch:x", "batch:3x", "batch: 3", "batch", "Batch:3",
                             "batch:99999999999999999999"})
        EXPECT_EQ(batch_of({flag}), 1) << flag;
    EXPECT_EQ(batch_of({"batch:1000000"}), 4'096);
}

}  // namespace
}  // namespace snakepit::detail
