#include "cli/line_source.hpp"

#include <asio/post.hpp>
#include <cstring>
#include <memory>
#include <utility>

namespace snakepit::cli {
namespace {
constexpr std::size_t block_bytes = std::size_t{64} << 10;
constexpr std::size_t bytes_ahead = 4 * block_bytes;
}  // namespace

line_source::line_source(int fd, std::size_t longest, asio::any_io_executor on, std::function<void()> arrived)
    : fd_(fd),
      longest_(longest),
      on_(std::move(on)),
      arrived_(std::make_shared<std::function<void()>>(std::move(arrived))),
      reader_([this] { read_all(); }) {}

line_source::~line_source() {
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    stop_.set();
    changed_.notify_all();
    reader_.join();
}

std::optional<line_source::line> line_source::take() {
    while (offset_ == current_.text.size()) {
        const std::lock_guard lock(mutex_);
        if (blocks_.empty()) return std::nullopt;
        current_ = std::move(blocks_.front());
        blocks_.pop_front();
        waiting_bytes_ -= current_.text.size();
        offset_ = 0;
        changed_.notify_all();
        if (!current_.too_long) continue;
        bytes_taken_ += current_.bytes;
        return line{{}, true};
    }
    const char* from = current_.text.data() + offset_;
    const auto left = current_.text.size() - offset_;
    const auto* newline = static_cast<const char*>(std::memchr(from, '\n', left));
    const auto size = newline ? static_cast<std::size_t>(newline - from) : left;
    offset_ += newline ? size + 1 : size;
    bytes_taken_ += newline ? size + 1 : size;
    return size > longest_ ? line{{}, true} : line{{from, size}, false};
}

bool line_source::ended() {
    const std::lock_guard lock(mutex_);
    return finished_ && blocks_.empty() && offset_ == current_.text.size();
}

int line_source::error_number() {
    const std::lock_guard lock(mutex_);
    return error_number_;
}

void line_source::read_all() {
    std::string kept;         // what has been read of lines that are not handed over
    std::size_t skipped = 0;  // bytes of a line that is too long already; `kept` is empty then
    for (;;) {
        if (!stop_.wait_for(fd_, POLLIN)) return;
        const auto before = kept.size();
        kept.resize(before + block_bytes);
        const auto got = ::read(fd_, kept.data() + before, block_bytes);
        kept.resize(before + (got > 0 ? static_cast<std::size_t>(got) : 0));
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) {
            const int why = got < 0 ? errno : 0;
            if (skipped > 0 && !hand_over({{}, true, skipped + kept.size()})) return;
            if (skipped == 0 && !kept.empty() && !hand_over({std::move(kept), false, 0})) return;
            return finish(why);
        }
        if (skipped > 0) {  // as far as its newline
            const auto newline = kept.find('\n');
            const auto gone = newline == std::string::npos ? kept.size() : newline + 1;
            skipped += gone;
            kept.erase(0, gone);
            if (newline == std::string::npos) continue;
            if (!hand_over({{}, true, std::exchange(skipped, 0)})) return;
        }
        // Only in what is new (after skipping, `before` is 0): a long line must not be searched again and again.
        if (const auto* last = static_cast<const char*>(::memrchr(kept.data() + before, '\n', kept.size() - before))) {
            const auto whole = static_cast<std::size_t>(last - kept.data()) + 1;
            std::string rest = kept.substr(whole);
            kept.resize(whole);
            if (!hand_over({std::exchange(kept, std::move(rest)), false, 0})) return;
        }
        if (kept.size() > longest_) {
            skipped = kept.size();
            kept = {};
        }
    }
}

bool line_source::hand_over(block b) {
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopped_ || waiting_bytes_ < bytes_ahead; });
        if (stopped_) return false;
        waiting_bytes_ += b.text.size();
        blocks_.push_back(std::move(b));
    }
    announce();
    return true;
}

void line_source::finish(int error_number) {
    {
        const std::lock_guard lock(mutex_);
        finished_ = true;
        error_number_ = error_number;
    }
    announce();
}

void line_source::announce() {
    asio::post(on_, [arrived = arrived_] { (*arrived)(); });
}

}  // namespace snakepit::cli
