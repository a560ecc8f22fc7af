#include "cli/terminal.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

namespace snakepit::cli {
namespace {

constexpr std::string_view enter = "\x1b[?1049h\x1b[?25l\x1b[2J";
constexpr std::string_view leave = "\x1b[?25h\x1b[?1049l";

void put(std::string_view text) {
    while (!text.empty()) {
        const auto done = ::write(STDOUT_FILENO, text.data(), text.size());
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(done));
    }
}

}  // namespace

bool terminal::is_there() {
    const char* const name = std::getenv("TERM");
    const bool is_dumb = name && std::string_view(name) == "dumb";  // it can move no cursor
    return !is_dumb && ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0;
}

terminal::terminal() {
    sigset_t ours;
    ::sigemptyset(&ours);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH}) ::sigaddset(&ours, number);
    ::sigprocmask(SIG_BLOCK, &ours, &mask_before_);
    signals_ = ::signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    ::tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VSUSP] = _POSIX_VDISABLE;  // there would be no way back to our screen
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    put(enter);
}

terminal::~terminal() {
    put(leave);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    if (signals_ >= 0) ::close(signals_);
    ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
}

terminal::extent terminal::size() const {
    winsize s{};
    constexpr extent usual{80, 24};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &s) != 0 || s.ws_col == 0 || s.ws_row == 0) return usual;
    return {s.ws_col, s.ws_row};
}

key_press terminal::wait(std::chrono::milliseconds limit, std::array<int, 2> also) {
    if (!typed_.empty()) return next_key();
    std::array<pollfd, 4> what{
        {{STDIN_FILENO, POLLIN, 0}, {signals_, POLLIN, 0}, {also[0], POLLIN, 0}, {also[1], POLLIN, 0}}};
    if (::poll(what.data(), what.size(), static_cast<int>(std::max(limit, decltype(limit)(0)).count())) <= 0) return {};
    signalfd_siginfo heard{};
    if (what[1].revents != 0 && ::read(signals_, &heard, sizeof heard) == sizeof heard) {
        const int number = static_cast<int>(heard.ssi_signo);
        return number == SIGWINCH ? key_press{key::resized} : key_press{key::interrupted, 0, number};
    }
    if (what[0].revents == 0) return {};
    std::array<char, 64> bytes{};
    const auto count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count <= 0) return {key::interrupted, 0, SIGHUP};  // the terminal has gone
    typed_.assign(bytes.data(), static_cast<std::size_t>(count));
    return next_key();
}

/// Keys that were pressed fast, or pasted, come together.
key_press terminal::next_key() {
    const auto take = [this](std::size_t bytes, key_press meant) {
        typed_.erase(0, bytes);
        return meant;
    };
    constexpr std::size_t arrow = 3;
    if (typed_.starts_with("\x1b[A") || typed_.starts_with("\x1bOA")) return take(arrow, {key::up});
    if (typed_.starts_with("\x1b[B") || typed_.starts_with("\x1bOB")) return take(arrow, {key::down});
    if (typed_[0] == '\x1b') return take(typed_.size(), {key::other, '\x1b'});  // one that we do not know
    if (typed_[0] == 'k') return take(1, {key::up});
    if (typed_[0] == 'j') return take(1, {key::down});
    return take(1, {key::other, typed_[0]});
}

void terminal::draw(const std::string& frame) const { put(frame); }

}  // namespace snakepit::cli
