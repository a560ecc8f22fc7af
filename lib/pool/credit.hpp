#pragma once
// How much work a worker is given in advance: what its calls are expected to take, against the way there and back.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>

namespace snakepit::detail {

/** While a worker is expected to have work for longer than its horizon, in each of its places, it is given no call
   beyond those that it executes, and never one that is expected to take longer than that itself. */
struct credit_rules {
    static constexpr auto no_limit = std::numeric_limits<std::uint32_t>::max();

    // Microseconds. As they are here every worker is given as many calls as it may have.
    std::uint32_t least_horizon = no_limit;
    std::uint32_t most_horizon = no_limit;
    std::uint32_t unknown_tool = 0;   ///< what a tool is expected to take that never ended
    std::chrono::milliseconds stall;  ///< without the end of a call, while it holds some in advance; 0: never mind

    [[nodiscard]] static constexpr credit_rules adaptive() {
        return {500, 2'000, 1'000'000, std::chrono::milliseconds(4)};
    }
};

/// The mean of the last durations. One that is far from it, because the scheduler held it up, say, moves it little; a
/// row of these moves it fast.
class mean_duration {
public:
    [[nodiscard]] bool is_known() const noexcept { return us_ >= 0; }
    /// 0 when it is not known.
    [[nodiscard]] std::uint32_t us() const noexcept { return is_known() ? static_cast<std::uint32_t>(us_) : 0; }
    void add(std::uint64_t us) noexcept {
        constexpr std::uint64_t longest = 1'000'000'000;
        const auto one = static_cast<float>(std::min(us, longest));
        if (!is_known()) us_ = one;
        else if (one < us_ / 4) us_ /= 2;
        else us_ += (std::min(one, 4 * us_ + 100) - us_) / 8;
    }

private:
    float us_ = -1;
};

/// One line's share of it.
struct line_credit {
    using clock = std::chrono::steady_clock;
    static constexpr std::uint32_t call_overhead = 4;  // microseconds that the worker takes for a call beside its tool

    std::uint64_t work_us = 0;  ///< what the calls with a place are expected to take
    std::uint32_t horizon_us = credit_rules::no_limit;
    bool stalled = false;  ///< no call has ended for long while it held some in advance: none more until one does
    bool watched = false;  ///< it held some in advance when the lines were looked at last
    std::uint64_t watched_ended = 0;  ///< how many calls it had ended then
    mean_duration round_trip;
    mean_duration service;
    float pace = 1;           ///< of its calls, against what their tools take anywhere
    std::uint64_t probe = 0;  ///< a call whose way there and back is measured; 0: none
    clock::time_point probe_sent;
    unsigned probes = 0;

    /// A frame with this first call goes to the line, which had none. The first ones of these are measured, then one in
    /// sixteen: to read the clock takes a tenth of the host's time for a call that is alone.
    void sent(std::uint64_t first) {
        constexpr unsigned all_of_the_first = 8;
        constexpr unsigned one_in = 16;
        ++probes;
        if (probes > all_of_the_first && probes % one_in != 0) return;
        probe = first;
        probe_sent = clock::now();
    }
    /// The probe has ended; it ran so long.
    void came_back(std::uint64_t run_us, const credit_rules& rules) {
        probe = 0;
        const auto all = std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - probe_sent).count();
        const auto way = all > 0 ? static_cast<std::uint64_t>(all) : 0;
        round_trip.add(way > run_us ? way - run_us : 0);
        // Replies are gathered for some hundred microseconds, and the next frame takes one way: four times is enough.
        constexpr std::uint64_t ways = 4;
        horizon_us = static_cast<std::uint32_t>(
            std::clamp<std::uint64_t>(ways * round_trip.us(), rules.least_horizon, rules.most_horizon));
    }
    /// Calls that have run in their tools, as one frame tells: how many, how long, and how long that was expected to
    /// be.
    void have_taken(std::uint64_t calls, std::uint64_t us, std::uint64_t expected_us) noexcept {
        service.add(us / calls);
        constexpr float most = 8;  // one that the scheduler held up moves it little
        const auto part = static_cast<float>(us + calls * call_overhead) / static_cast<float>(expected_us + 1);
        pace += (std::min(part, most) - pace) / 8;
    }
    /// Slower than the others with the same tools.
    [[nodiscard]] bool is_slow() const noexcept { return pace > 2; }
    /// Calls that it would be given if all took as long as the last ones.
    [[nodiscard]] std::size_t calls(std::size_t width, std::size_t most) const noexcept {
        const auto each = service.us() + call_overhead;
        if (!service.is_known() || each > horizon_us) return width;
        return std::clamp<std::size_t>(width * horizon_us / each + 1, width, std::max(width, most));
    }
};

/// What `switchboard` tells of a line's credit.
struct pace {
    std::size_t credit = 0;
    std::chrono::microseconds service{};
    std::chrono::microseconds round_trip{};
};

}  // namespace snakepit::detail
