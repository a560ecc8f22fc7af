// What is kept of a worker's output, and in which pieces it is told.

#include "process/output_tail.hpp"
#include "process/channels.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <asio/io_context.hpp>
#include <asio/strand.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace snakepit::detail {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::Pair;
using testing::StartsWith;

class OutputTail : public testing::Test {
protected:
    void write(const std::string& text) {
        for (std::size_t at = 0; at < text.size();) {
            const auto some = text.substr(at, 8 << 10);  // a pipe has room for more
            ASSERT_EQ(::write(pipe_.theirs.get(), some.data(), some.size()), static_cast<ssize_t>(some.size()));
            tail_->drain();
            at += some.size();
        }
    }

    asio::io_context io_;
    own_pair pipe_ = make_own_pipe(pipe_end::read).value();
    std::vector<std::pair<std::string, bool>> told_;  // with whether it goes on
    std::shared_ptr<output_tail> tail_ = std::make_shared<output_tail>(
        asio::strand<asio::any_io_executor>(io_.get_executor()), std::move(pipe_.ours), "",
        [this](const output_line& line) { told_.emplace_back(line.text, line.goes_on); });
};

TEST_F(OutputTail, TellsLinesAndKeepsTheLastOnes) {
    write("one\ntw");
    write("o\nthree");
    EXPECT_THAT(told_, ElementsAre(Pair("one", false), Pair("two", false)));
    EXPECT_EQ(tail_->text(), "one\ntwo\nthree");
    for (int i = 0; i < 100; ++i) write(fmt::format("\n{}", i));
    EXPECT_THAT(tail_->text(), StartsWith("60\n"));
    EXPECT_THAT(tail_->text(), EndsWith("\n99"));
}

TEST_F(OutputTail, CutsALongLineWhereNoWordIs) {
    const std::string word(16'000, 'x');
    write(word + " password=" + std::string(1'000, 's') + "\nnext\n");
    EXPECT_THAT(told_, ElementsAre(Pair(word + " ", false), Pair("password=" + std::string(1'000, 's'), true),
                                   Pair("next", false)));
}

TEST_F(OutputTail, CutsALongWordAnywhere) {
    write(std::string(40'000, 'x') + "\n");
    ASSERT_EQ(told_.size(), 3u);
    EXPECT_FALSE(told_[0].second);
    EXPECT_TRUE(told_[1].second);
    EXPECT_TRUE(told_[2].second);
    std::size_t all = 0;
    for (const auto& [text, goes_on] : told_) all += text.size();
    EXPECT_EQ(all, 40'000u);
}

TEST_F(OutputTail, KeepsTheBeginningsOfLongLines) {
    write("token=" + std::string(30'000, 's'));
    EXPECT_THAT(tail_->text(), StartsWith("token=sss"));
    EXPECT_LE(tail_->text().size(), 8u << 10);
    write("\nlast words");
    EXPECT_THAT(tail_->text(), StartsWith("token=sss"));
    EXPECT_THAT(tail_->text(), EndsWith("s [...]\nlast words"));
    for (int i = 0; i < 10; ++i) write("\nline=" + std::string(2'000, 's'));
    EXPECT_THAT(tail_->text(), StartsWith("line=sss")) << "not in the middle of one";
    EXPECT_LE(tail_->text().size(), 8u << 10);
}

}  // namespace
}  // namespace snakepit::detail
