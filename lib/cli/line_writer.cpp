#include "cli/line_writer.hpp"

#include <sys/stat.h>
#include <algorithm>
#include <asio/post.hpp>
#include <climits>
#include <utility>

namespace snakepit::cli {
namespace {

constexpr std::size_t most_gathered = std::size_t{256} << 10;

/// A pipe that is ready takes this much without blocking; a file takes anything.
std::size_t piece_for(int fd) {
    struct stat s{};
    const bool is_file = ::fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
    return is_file ? std::size_t{1} << 20 : PIPE_BUF;
}

/// What is written next: whole lines, so that an end in between cuts none; of a longer line a part.
std::string_view next_piece(std::string_view text, std::size_t most) {
    if (text.size() <= most) return text;
    const auto newline = text.rfind('\n', most - 1);
    return text.substr(0, newline == text.npos ? most : newline + 1);
}

}  // namespace

line_writer::line_writer(int fd, asio::any_io_executor on, std::function<void()> written)
    : fd_(fd),
      piece_(piece_for(fd)),
      on_(std::move(on)),
      written_(std::make_shared<std::function<void()>>(std::move(written))),
      writer_([this] { write_all(); }) {}

void line_writer::close() {
    if (!writer_.joinable()) return;
    const auto limit = std::chrono::steady_clock::now() + std::chrono::milliseconds(250);
    {
        std::unique_lock lock(mutex_);
        closing_ = true;
        if (changed_.wait_until(lock, limit, [&] { return leaving_.empty(); })) leaving_.swap(gathered_);
        finishing_ = true;
        changed_.notify_all();
        changed_.wait_until(lock, limit, [&] { return over_; });
    }
    stop_.set();
    writer_.join();
}

void line_writer::put(std::string_view line) {
    gathered_ += line;
    gathered_ += '\n';
}

void line_writer::flush() {
    if (gathered_.empty()) return;
    const std::lock_guard lock(mutex_);
    if (error_number_ != 0) return gathered_.clear();
    if (!leaving_.empty()) return;
    leaving_.swap(gathered_);
    changed_.notify_all();
}

bool line_writer::full() const noexcept { return gathered_.size() >= most_gathered; }

bool line_writer::drained() {
    const std::lock_guard lock(mutex_);
    return error_number_ != 0 || (leaving_.empty() && gathered_.empty());
}

int line_writer::error_number() {
    const std::lock_guard lock(mutex_);
    return error_number_;
}

void line_writer::write_all() {
    std::unique_lock lock(mutex_);
    while (error_number_ == 0) {
        changed_.wait(lock, [&] { return finishing_ || !leaving_.empty(); });
        if (leaving_.empty()) break;
        lock.unlock();
        const int failed = write_out(leaving_);
        lock.lock();
        leaving_.clear();
        error_number_ = failed;
        changed_.notify_all();
        if (!closing_) asio::post(on_, [written = written_] { (*written)(); });
    }
    over_ = true;
    changed_.notify_all();
}

int line_writer::write_out(std::string_view text) {
    while (!text.empty()) {
        if (!stop_.wait_for(fd_, POLLOUT)) return ECANCELED;
        const auto piece = next_piece(text, piece_);
        const auto took = ::write(fd_, piece.data(), piece.size());
        if (took < 0 && errno != EINTR && errno != EAGAIN) return errno;
        if (took <= 0) continue;
        const auto written = text.substr(0, static_cast<std::size_t>(took));
        lines_written_ += static_cast<std::uint64_t>(std::count(written.begin(), written.end(), '\n'));
        text.remove_prefix(written.size());
    }
    return 0;
}

}  // namespace snakepit::cli
