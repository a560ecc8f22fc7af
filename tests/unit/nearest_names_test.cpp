#include "pool/nearest_names.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace snakepit::detail {
namespace {

TEST(NearestNames, SaysWhenThereAreNone) { EXPECT_EQ(nearest_names("x", {}), "there are no tools"); }

TEST(NearestNames, FindsATypo) {
    const std::vector<std::string> names{"summarise", "count_words", "count_lines"};
    EXPECT_EQ(nearest_names("cuont_words", names), "did you mean count_words?");
    EXPECT_EQ(nearest_names("sumarise", names), "did you mean summarise?");
}

TEST(NearestNames, NamesTheNearestFirstAndNotMoreThanThree) {
    EXPECT_EQ(nearest_names("abc", {"abcde", "abxd", "abcd", "xbcd", "abcx"}), "did you mean abcd, abcx, abcde?");
}

TEST(NearestNames, NamesSomeOfAllWhenNoneIsNear) {
    EXPECT_EQ(nearest_names("quite_different", {"a", "b"}), "there are: a, b");
    std::vector<std::string> many;
    for (int i = 0; i < 20; ++i) many.push_back(fmt::format("tool{}", i));
    EXPECT_EQ(nearest_names("quite_different", many),
              "there are: tool0, tool1, tool2, tool3, tool4, tool5, tool6, tool7, ...");
}

TEST(NearestNames, TakesAnEmptyName) { EXPECT_EQ(nearest_names("", {"ab", "abc"}), "did you mean ab?"); }

TEST(NearestNames, IsNotHeldUpByAHugeName) {
    const std::vector<std::string> names(100, std::string(200, 'n'));
    EXPECT_FALSE(nearest_names(std::string(std::size_t{10} << 20, 'x'), names).empty());
}

}  // namespace
}  // namespace snakepit::detail
