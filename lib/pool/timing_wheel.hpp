#pragma once
// Deadlines in O(1): a hierarchical timing wheel (Varghese and Lauck, 1987), four wheels of 256 slots.

#include "pool/intrusive_list.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>

namespace snakepit::detail {

/** Elements by the tick at which they are due. T has `list_hook<T> due_hook` and `std::uint64_t due_tick`,
    `std::uint16_t due_slot`.

    A tick is whatever the user says (the pool: 1 ms). Elements further away than 2^32 ticks wait in the last slot in
    reach and are put further when it comes. Not thread-safe. */
template <class T>
class timing_wheel {
public:
    static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::uint64_t now() const noexcept { return now_; }

    /// Due at `tick`, or at the next advance when that is not in the future.
    void insert(T& item, std::uint64_t tick) noexcept {
        item.due_tick = tick;
        place(item, now_ + 1);
        ++size_;
    }
    void erase(T& item) noexcept {
        unlink(item);
        --size_;
    }

    /// The tick at which advance() has something to do, never later than the first element is due.
    [[nodiscard]] std::uint64_t next() const noexcept {
        std::uint64_t first = never;
        for (int level = 0; level < levels && size_ != 0; ++level) {
            const unsigned shift = 8u * static_cast<unsigned>(level);
            const std::uint64_t from = (now_ >> shift) + 1;
            if (const auto steps = to_occupied(level, from % slots); steps < slots)
                first = std::min(first, (from + steps) << shift);
        }
        return first;
    }

    /// Moves time to `tick` and gives each element that is due to `expired`, taken out.
    template <class F>
    void advance(std::uint64_t tick, F expired) {
        while (now_ < tick) {
            const auto stop = next();
            if (stop > tick) {
                now_ = tick;
                return;
            }
            now_ = stop;
            for (int level = levels - 1; level > 0; --level) {
                const unsigned shift = 8u * static_cast<unsigned>(level);
                if (now_ & ((std::uint64_t{1} << shift) - 1)) continue;
                auto& slot = wheel_[slot_index(level, (now_ >> shift) % slots)];
                for (auto n = slot.size(); n > 0; --n) {
                    T& item = *slot.front();
                    unlink(item);
                    place(item, now_);
                }
            }
            auto& due = wheel_[slot_index(0, now_ % slots)];
            while (T* item = due.front()) {  // `expired` may erase others
                erase(*item);
                expired(*item);
            }
        }
    }

private:
    static constexpr int levels = 4;
    static constexpr std::uint64_t slots = 256;

    static std::size_t slot_index(int level, std::uint64_t slot) noexcept {
        return static_cast<std::size_t>(level) * slots + static_cast<std::size_t>(slot);
    }
    /// Steps from a slot to the next one that is not empty, around the wheel; `slots` when all are.
    [[nodiscard]] std::uint64_t to_occupied(int level, std::uint64_t slot) const noexcept {
        constexpr std::uint64_t words = slots / 64;
        const auto below = (std::uint64_t{1} << (slot % 64)) - 1;  // of the slot's own word, the part that comes last
        for (std::uint64_t i = 0; i <= words; ++i) {
            const auto word = (slot / 64 + i) % words;
            auto bits = bits_[slot_index(level, 0) / 64 + word];
            if (i == 0) bits &= ~below;
            if (i == words) bits &= below;
            if (bits != 0) return (word * 64 + static_cast<std::uint64_t>(std::countr_zero(bits)) - slot) % slots;
        }
        return slots;
    }
    void place(T& item, std::uint64_t earliest) noexcept {
        const auto furthest = now_ + (std::uint64_t{1} << 32) - 1;
        const auto tick = std::min(std::max(item.due_tick, earliest), furthest);
        const auto away = tick - now_;
        int level = 0;
        while (away >= std::uint64_t{1} << (8 * (level + 1))) ++level;
        const auto i = slot_index(level, (tick >> (8 * level)) % slots);
        item.due_slot = static_cast<std::uint16_t>(i);
        wheel_[i].push_back(item);
        bits_[i / 64] |= std::uint64_t{1} << (i % 64);
    }
    void unlink(T& item) noexcept {
        const std::size_t i = item.due_slot;
        wheel_[i].erase(item);
        if (wheel_[i].empty()) bits_[i / 64] &= ~(std::uint64_t{1} << (i % 64));
    }

    std::array<intrusive_list<T, &T::due_hook>, levels * slots> wheel_;
    std::array<std::uint64_t, levels * slots / 64> bits_{};
    std::uint64_t now_ = 0;
    std::size_t size_ = 0;
};

}  // namespace snakepit::detail
