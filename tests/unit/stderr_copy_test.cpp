// What is copied of workers' output: whole lines, and never by waiting.

#include "process/stderr_copy.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <algorithm>
#include <sstream>
#include <string>
#include <thread>

namespace snakepit::detail {
namespace {

/// Has the process's stderr for itself.
class StderrCopy : public testing::Test {
protected:
    void SetUp() override {
        ASSERT_EQ(::pipe2(ends_, O_CLOEXEC), 0);
        real_ = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        ::dup2(ends_[1], STDERR_FILENO);
        ::close(ends_[1]);
        ::fcntl(ends_[0], F_SETFL, O_NONBLOCK);
    }
    void TearDown() override {
        ::dup2(real_, STDERR_FILENO);
        ::close(real_);
        if (ends_[0] >= 0) ::close(ends_[0]);
    }
    [[nodiscard]] std::string read() const {
        std::string all;
        char buffer[4096];
        for (;;) {
            const auto got = ::read(ends_[0], buffer, sizeof buffer);
            if (got <= 0) return all;
            all.append(buffer, static_cast<std::size_t>(got));
        }
    }
    void stop_reading() { ::close(std::exchange(ends_[0], -1)); }

private:
    int ends_[2] = {-1, -1};
    int real_ = -1;
};

TEST_F(StderrCopy, PutsItsPrefixBeforeWholeLines) {
    stderr_copy copy("[w0] ");
    copy.take("one\ntw");
    EXPECT_EQ(read(), "[w0] one\n");
    copy.take("o\n\n");
    EXPECT_EQ(read(), "[w0] two\n[w0] \n");
    copy.take("no end");
    EXPECT_EQ(read(), "");
    copy.finish();
    EXPECT_EQ(read(), "[w0] no end\n");
    copy.finish();
    EXPECT_EQ(read(), "");
}

TEST_F(StderrCopy, LeavesOutWhatNobodyReadsAndSaysSoLater) {
    stderr_copy copy("[w0] ");
    const std::string line = std::string(99, 'x') + "\n";
    constexpr int lines = 5'000;  // seven times what a pipe holds
    for (int i = 0; i < lines; ++i) copy.take(line);
    const auto first = read();
    const auto whole = std::count(first.begin(), first.end(), '\n');
    EXPECT_LT(whole, lines);
    EXPECT_EQ(first.size(), static_cast<std::size_t>(whole) * (line.size() + 5));
    copy.take("again\n");
    EXPECT_EQ(read(), "[w0] (" + std::to_string(lines - whole) + " lines left out)\n[w0] again\n");
}

TEST_F(StderrCopy, LeavesOutWhatComesTooFast) {
    stderr_copy copy("");
    const std::string line = std::string(1023, 'x') + "\n";
    std::string got;
    constexpr int lines = 2 * allowance::burst_bytes / 1024;
    for (int i = 0; i < lines; ++i) {
        copy.take(line);
        got += read();
    }
    EXPECT_GE(got.size(), allowance::burst_bytes - line.size());
    EXPECT_LT(got.size(), std::size_t{lines} * line.size());
    std::size_t more = 0;
    for (; more < 200 && got.find("\ny\n") == got.npos; ++more) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));  // it earns 2.5 KiB
        copy.take("y\n");
        got += read();
    }
    std::size_t written = 0;
    std::size_t left_out = 0;
    std::istringstream all(got);
    for (std::string each; std::getline(all, each);) {
        if (each.starts_with('(')) left_out += std::stoul(each.substr(1));
        else ++written;
    }
    EXPECT_GT(left_out, 0u);
    EXPECT_EQ(written + left_out, lines + more) << "each line is there, or counted";
}

TEST_F(StderrCopy, SurvivesAReaderThatHasGone) {
    stop_reading();
    stderr_copy copy("[w0] ");
    copy.take("to nobody\n");  // SIGPIPE would end this test
    copy.finish();
}

TEST_F(StderrCopy, CutsALineThatDoesNotEnd) {
    stderr_copy copy("");
    std::string got;
    for (int i = 0; i < 10; ++i) {
        copy.take(std::string(2048, 'x'));
        got += read();
    }
    EXPECT_EQ(std::count(got.begin(), got.end(), '\n'), 1);
}

}  // namespace
}  // namespace snakepit::detail
