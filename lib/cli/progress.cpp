#include "cli/progress.hpp"

#include "cli/common.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <cmath>
#include <cstdio>

namespace snakepit::cli {
namespace {

std::string duration_text(double seconds) {
    const auto whole = static_cast<std::uint64_t>(std::llround(std::min(seconds, 3.6e6)));
    if (whole >= 3600) return fmt::format("{}h {:02}m", whole / 3600, whole / 60 % 60);
    if (whole >= 60) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
    return fmt::format("{}s", whole);
}

std::uint64_t rate_of(std::uint64_t lines, double seconds) {
    return static_cast<std::uint64_t>(static_cast<double>(lines) / std::max(seconds, 1e-3));
}

}  // namespace

progress::progress(std::optional<std::uint64_t> input_bytes, bool wanted)
    : input_bytes_(input_bytes),
      shown_at_all_(wanted && ::isatty(STDERR_FILENO) == 1 && ::isatty(STDOUT_FILENO) != 1) {}

double progress::seconds() const { return std::chrono::duration<double>(clock::now() - begun_).count(); }

void progress::show(const counts& now) {
    if (!shown_at_all_) return;
    const auto elapsed = seconds();
    auto text = fmt::format("{} lines, {} failed, {} lines/s", grouped(now.done()), grouped(now.failed),
                            grouped(rate_of(now.done(), elapsed)));
    if (input_bytes_ && *input_bytes_ > 0) {
        const auto part = std::min(1.0, static_cast<double>(now.bytes_read) / static_cast<double>(*input_bytes_));
        text += fmt::format(", {:.0f} %", part * 100);
        if (part > 0) text += fmt::format(", {} left", duration_text(elapsed / part - elapsed));
    }
    tell("\r\033[K" + text);
    std::fflush(stderr);
    shown_ = true;
}

void progress::clear() {
    if (shown_) tell("\r\033[K");
    shown_ = false;
}

std::string progress::summary(const counts& now) const {
    const auto elapsed = seconds();
    return fmt::format("{} lines: {} ok, {} failed; {:.1f} s, {} lines/s", grouped(now.done()), grouped(now.ok),
                       grouped(now.failed), elapsed, grouped(rate_of(now.done(), elapsed)));
}

}  // namespace snakepit::cli
