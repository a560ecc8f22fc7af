#include "process/output_tail.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <utility>

namespace snakepit::detail {
namespace {
constexpr std::size_t kept_bytes = 8 << 10;
constexpr std::ptrdiff_t kept_lines = 40;
constexpr std::size_t longest_kept_line = 4 << 10;
constexpr std::size_t longest_line = 16 << 10;

/// Where to cut a line that is too long: not within what may be a word.
std::size_t end_of_piece(std::string_view line) {
    constexpr std::size_t longest_word = 1 << 10;
    const auto at = line.find_last_of(" \t,;&{}");
    return at == line.npos || at + longest_word < line.size() ? line.size() : at + 1;
}

/// What is kept of a line.
std::string beginning_of(std::string_view line) {
    if (line.size() <= longest_kept_line) return std::string(line);
    return std::string(line.substr(0, longest_kept_line)) + " [...]";
}
}  // namespace

output_tail::output_tail(asio::strand<asio::any_io_executor> on, shielded_fd pipe, std::string prefix, listener tell)
    : pipe_(std::move(on)), tell_(std::move(tell)) {
    if (!prefix.empty()) copy_.emplace(std::move(prefix));
    auto [fd, shield] = pipe.release();
    pipe_.assign(fd);
    shield_ = std::move(shield);
    pipe_.non_blocking(true);
}

void output_tail::start() { wait(); }

void output_tail::wait() {
    pipe_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const asio::error_code& failed) {
                         if (!failed && self->read_available()) self->wait();
                     });
}

void output_tail::drain() {
    if (pipe_.is_open()) read_available();
}

void output_tail::close() {
    if (!output_line::parse(unfinished_).text.empty()) take_line(unfinished_);
    unfinished_.clear();
    if (copy_) copy_->finish();
    asio::error_code none;
    shield_.lift();
    pipe_.close(none);
}

bool output_tail::read_available() {
    std::array<char, 16 << 10> buffer;
    constexpr int turns = 16;  // a flood must not keep the strand
    for (int i = 0; i < turns; ++i) {
        const auto got = ::read(pipe_.native_handle(), buffer.data(), buffer.size());
        if (got < 0) return errno == EAGAIN || errno == EINTR;
        if (got == 0) return false;
        take({buffer.data(), static_cast<std::size_t>(got)});
    }
    return true;
}

void output_tail::take(std::string_view text) {
    for (auto end = text.find('\n'); end != text.npos; end = text.find('\n')) {
        if (unfinished_.empty()) {
            take_line(text.substr(0, end));
        } else {
            unfinished_.append(text.substr(0, end));
            take_line(std::exchange(unfinished_, {}));
        }
        goes_on_ = false;
        text.remove_prefix(end + 1);
    }
    unfinished_.append(text);
    if (unfinished_.size() >= longest_line) take_piece();
}

void output_tail::take_piece() {
    const auto line = output_line::parse(unfinished_).text;
    const auto whose = unfinished_.size() - line.size();
    const auto end = whose + end_of_piece(line);
    take_line(std::string_view(unfinished_).substr(0, end));
    unfinished_.erase(whose, end - whose);
    goes_on_ = true;
}

void output_tail::take_line(std::string_view line) {
    auto parsed = output_line::parse(line);
    parsed.goes_on = goes_on_;
    if (!goes_on_) kept_.append(beginning_of(parsed.text)) += '\n';
    if (kept_.size() > 2 * kept_bytes) kept_.erase(0, kept_.find('\n', kept_.size() - kept_bytes) + 1);
    if (copy_) copy_->take(std::string(parsed.text) += '\n');
    if (tell_) tell_(parsed);
}

std::string output_tail::text() const {
    auto tail = kept_;
    if (!goes_on_) tail.append(beginning_of(output_line::parse(unfinished_).text));
    if (tail.size() > kept_bytes) tail.erase(0, tail.find('\n', tail.size() - kept_bytes) + 1);
    while (!tail.empty() && tail.back() == '\n') tail.pop_back();
    auto lines = std::count(tail.begin(), tail.end(), '\n') + 1;
    std::size_t from = 0;
    for (; lines > kept_lines; --lines) from = tail.find('\n', from) + 1;
    return tail.substr(from);
}

std::string joined_output(output_tail& out, output_tail& err) {
    out.drain();
    err.drain();
    auto text = out.text();
    const auto more = err.text();
    if (!text.empty() && !more.empty()) text += '\n';
    return text + more;
}

}  // namespace snakepit::detail
