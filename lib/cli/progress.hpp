#pragma once
// How far `snakepit map` is: one line on a terminal, and the summary.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace snakepit::cli {

struct counts {
    std::uint64_t ok = 0;
    std::uint64_t failed = 0;
    std::uint64_t bytes_read = 0;
    [[nodiscard]] std::uint64_t done() const noexcept { return ok + failed; }
};

class progress {
public:
    /// @param input_bytes  of the whole input, when that is known
    /// @param wanted       false: nothing is ever shown
    progress(std::optional<std::uint64_t> input_bytes, bool wanted);

    /// On a terminal, unless the results go there too: in place of what was shown before.
    void show(const counts& now);
    /// Takes it away again.
    void clear();
    [[nodiscard]] bool is_shown() const noexcept { return shown_at_all_; }
    /// "1,000 lines: 998 ok, 2 failed; 0.5 s, 2,000 lines/s"
    [[nodiscard]] std::string summary(const counts& now) const;

private:
    using clock = std::chrono::steady_clock;
    [[nodiscard]] double seconds() const;

    const std::optional<std::uint64_t> input_bytes_;
    const bool shown_at_all_;
    const clock::time_point begun_ = clock::now();
    bool shown_ = false;
};

}  // namespace snakepit::cli
