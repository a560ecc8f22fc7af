#pragma once
// How many calls to have under way at once.

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace snakepit::cli {

/** As many as were done in the last 20 ms: enough that fast tools never wait for the next line, few enough that slow
    ones share the work evenly to its end and a worker that dies takes few with it. */
class call_window {
public:
    using clock = std::chrono::steady_clock;

    call_window(std::size_t least, std::size_t most) : least_(least), most_(std::max(least, most)), size_(least) {}

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    void done(std::size_t calls, clock::time_point now) {
        constexpr auto slice = std::chrono::milliseconds(20);
        calls_ += calls;
        const auto passed = now - since_;
        if (passed < slice) return;
        const auto rate = static_cast<double>(calls_) / std::chrono::duration<double>(passed).count();
        size_ =
            std::clamp(static_cast<std::size_t>(rate * std::chrono::duration<double>(slice).count()), least_, most_);
        calls_ = 0;
        since_ = now;
    }

private:
    std::size_t least_;
    std::size_t most_;
    std::size_t size_;
    std::size_t calls_ = 0;
    clock::time_point since_ = clock::now();
};

}  // namespace snakepit::cli
