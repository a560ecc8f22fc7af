#pragma once
// Keeps a call that has waited long as cheap as one that has not.

#include "pool/call.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace snakepit::detail {

/** Fetches calls into the cache a while before their turn, one for each that joins the queue.

    Among a hundred thousand that wait, the next one is in no cache, and the links of a list do not tell who comes later
    without waiting for memory at each step. So their addresses are kept by ticket beside the queue. They are hints:
    those of calls that have left are fetched in vain, and never followed. */
class queue_warmer {
public:
    explicit queue_warmer(std::size_t queue_limit)
        : addresses_(std::bit_ceil(std::clamp(queue_limit, 2 * ahead, std::size_t{1} << 17))) {}

    void joined(const call& c, const call& head) noexcept {
        slot(c.ticket) = &c;
        next_ = std::max(next_, head.ticket + 1);
        if (next_ < head.ticket + ahead) fetch(slot(next_++), sizeof(call));
    }
    /// Also what hangs on it, which comes next.
    static void turn_has_come(const call& c) noexcept {
        fetch(c.arguments.data(), std::min(c.arguments.size(), std::size_t{256}));
        c.done.prefetch();
    }

private:
    static constexpr std::size_t ahead = 128;

    const void*& slot(std::uint64_t ticket) noexcept { return addresses_[ticket & (addresses_.size() - 1)]; }
    static void fetch(const void* from, std::size_t bytes) noexcept {
        constexpr std::size_t cache_line = 64;
        for (std::size_t i = 0; i < bytes; i += cache_line)
            __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(from) + i), 1);
    }

    std::vector<const void*> addresses_;
    std::uint64_t next_ = 0;
};

}  // namespace snakepit::detail
