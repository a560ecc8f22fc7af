#include "process/stderr_copy.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>
#include <algorithm>
#include <climits>
#include <mutex>

namespace snakepit::detail {
namespace {

constexpr std::size_t longest_line = 16 << 10;

/// poll(2) says that a pipe is writable when it takes PIPE_BUF bytes.
/// @return  whether all was written; false too when nobody reads any more, since SIGPIPE would end the host
bool write_without_waiting(std::string_view text) {
    static std::mutex one_at_a_time;
    const std::lock_guard lock(one_at_a_time);
    while (!text.empty()) {
        pollfd to{STDERR_FILENO, POLLOUT, 0};
        if (::poll(&to, 1, 0) != 1 || to.revents != POLLOUT) return false;
        const auto written = ::write(STDERR_FILENO, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
        if (written <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

}  // namespace

void stderr_copy::take(std::string_view text) {
    for (auto end = text.find('\n'); end != text.npos; end = text.find('\n')) {
        unfinished_.append(text.substr(0, end));
        copy(unfinished_);
        unfinished_.clear();
        text.remove_prefix(end + 1);
    }
    unfinished_.append(text);
    if (unfinished_.size() >= longest_line) finish();
}

void stderr_copy::finish() {
    if (!unfinished_.empty()) copy(unfinished_);
    unfinished_.clear();
    (void)tell_of_missing();
}

void stderr_copy::copy(std::string_view line) {
    const auto whole = fmt::format("{}{}\n", prefix_, line);
    if (!allowance_.take(whole.size()) || !tell_of_missing() || !write_without_waiting(whole)) ++missing_;
}

/// @return  whether nothing is missing that has not been told
bool stderr_copy::tell_of_missing() {
    if (missing_ == 0) return true;
    if (!write_without_waiting(fmt::format("{}({} lines left out)\n", prefix_, missing_))) return false;
    missing_ = 0;
    return true;
}

}  // namespace snakepit::detail
