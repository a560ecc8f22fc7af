#pragma once
// What may have expired by now: a hierarchical timing wheel whose work can be done a little at a time.

#include "pool/intrusive_list.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace snakepit::detail {

/** Elements by the tick at which somebody has to look at them. T has `list_hook<T> wheel_hook` and
    `std::uint16_t wheel_slot`.

    `timing_wheel` (the pool's deadlines) moves whole slots at once; this one hands out what it comes across one by one,
    early or in time, and whoever gets an element puts it in again when it is not due yet. So an element whose time is
    put off need not be touched, and nothing takes long. Ticks are below 2^42 (the sessions': 1 ms). Not thread-safe. */
template <class T>
class expiry_wheel {
public:
    static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

    /// To be looked at in `tick`, or at the next advance when that has passed. It is not in yet.
    void insert(T& item, std::uint64_t tick) noexcept {
        tick = std::clamp(tick, now_, last_tick);
        const auto differ = tick ^ now_;
        const unsigned level = differ == 0 ? 0 : static_cast<unsigned>(std::bit_width(differ) - 1) / bits;
        const auto slot = static_cast<unsigned>(tick >> (level * bits)) % slots;
        item.wheel_slot = static_cast<std::uint16_t>(level * slots + slot);
        wheel_[item.wheel_slot].push_back(item);
        taken_[level] |= std::uint64_t{1} << slot;
    }

    /// It is in.
    void erase(T& item) noexcept {
        auto& list = wheel_[item.wheel_slot];
        list.erase(item);
        if (list.empty()) taken_[item.wheel_slot / slots] &= ~(std::uint64_t{1} << (item.wheel_slot % slots));
    }

    /// The tick at which advance() has something to do, never later than the first element is due.
    [[nodiscard]] std::uint64_t next() const noexcept {
        std::uint64_t first = never;
        for (unsigned level = 0; level < levels; ++level)
            if (taken_[level] != 0) first = std::min(first, start_of(level, first_slot(level)));
        return first;
    }

    /** Gives elements that may be due at `tick` to `look`, taken out, as many as `budget` says, which is counted down.
        @param look  may put it in again when it is due later than `tick`, and erase others
        @return  whether that was all */
    template <class F>
    bool advance(std::uint64_t tick, std::size_t& budget, F look) {
        tick = std::min(tick, last_tick);
        for (;;) {
            std::uint64_t first = never;
            unsigned from = 0;
            for (unsigned level = 0; level < levels; ++level) {
                if (taken_[level] == 0) continue;
                const auto start = start_of(level, first_slot(level));
                if (start < first) {
                    first = start;
                    from = level * slots + first_slot(level);
                }
            }
            if (first > tick) {
                now_ = std::max(now_, tick);
                return true;
            }
            if (budget == 0) return false;
            --budget;
            // What is put in from here on goes to a lower level: this slot is only emptied.
            now_ = std::max(now_, first);
            T& item = *wheel_[from].front();
            erase(item);
            look(item);
        }
    }

private:
    static constexpr unsigned bits = 6;
    static constexpr unsigned slots = 1U << bits;
    static constexpr unsigned levels = 7;
    static constexpr std::uint64_t last_tick = (std::uint64_t{1} << (bits * levels)) - 1;

    [[nodiscard]] unsigned first_slot(unsigned level) const noexcept {
        return static_cast<unsigned>(std::countr_zero(taken_[level]));
    }
    /// No slot behind the present one is taken, so the bits above are those of now.
    [[nodiscard]] std::uint64_t start_of(unsigned level, unsigned slot) const noexcept {
        const auto above = now_ >> ((level + 1) * bits) << ((level + 1) * bits);
        return above | std::uint64_t{slot} << (level * bits);
    }

    std::array<intrusive_list<T, &T::wheel_hook>, std::size_t{levels} * slots> wheel_;
    std::array<std::uint64_t, levels> taken_{};
    std::uint64_t now_ = 0;
};

}  // namespace snakepit::detail
