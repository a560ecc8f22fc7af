#pragma once
// Keeps a tool that ends its workers from ending all of them.

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace snakepit::detail {

/** The circuit of one tool: it opens when so many workers in a row were ended by it, lets one call through from time to
    time, and closes with the first reply. Not thread-safe. */
class tool_breaker {
public:
    using clock = std::chrono::steady_clock;
    struct limits {
        int deaths = 0;  ///< 0: it never opens
        std::chrono::milliseconds pause{};
    };

    void replied() noexcept { deaths_ = 0; }
    /// There is nothing that a reply would change.
    [[nodiscard]] bool is_closed() const noexcept { return deaths_ == 0; }
    void ended_a_worker(const limits& allowed, clock::time_point now) noexcept {
        deaths_ = std::min(deaths_ + 1, most);
        if (is_open(allowed)) try_with(allowed, now, 0);
    }
    [[nodiscard]] bool is_open(const limits& allowed) const noexcept {
        return allowed.deaths != 0 && deaths_ >= allowed.deaths;
    }
    /// Of an open one: whether the next call may be let in.
    [[nodiscard]] bool lets_try(clock::time_point now) const noexcept { return now >= next_try_; }
    /// It was.
    void try_with(const limits& allowed, clock::time_point now, std::uint64_t ticket) noexcept {
        next_try_ = now + allowed.pause;
        trying_ = ticket;
    }
    /// Of a call that was let in, before or after it opened.
    [[nodiscard]] bool stops(const limits& allowed, std::uint64_t ticket) const noexcept {
        return is_open(allowed) && ticket != trying_;
    }
    [[nodiscard]] std::chrono::milliseconds until_next_try(clock::time_point now) const noexcept {
        return std::max(std::chrono::milliseconds(1), std::chrono::ceil<std::chrono::milliseconds>(next_try_ - now));
    }

private:
    static constexpr int most = 1'000'000;
    int deaths_ = 0;
    clock::time_point next_try_;
    std::uint64_t trying_ = 0;  // the ticket of the call that was let through last; 0: it has failed
};

}  // namespace snakepit::detail
