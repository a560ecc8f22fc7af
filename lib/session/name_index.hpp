#pragma once
// Finds numbered things by their names, with one look into memory where there is no clash.

#include "session/huge_memory.hpp"

#include <absl/hash/hash.h>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace snakepit::detail {

/// Differs from process to process, so that nobody can choose names that clash.
inline std::uint64_t hash_of(std::string_view name) noexcept { return absl::Hash<std::string_view>()(name); }

/** A hash table of the numbers of things whose names are elsewhere: open addressing, eight bytes for each place, at
    most seven of ten taken. Growing and erasing look at no name. Not thread-safe. */
class name_index {
public:
    static constexpr std::uint32_t none = ~std::uint32_t{0};

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// Has the place where this hash is looked for fetched into the cache.
    void prefetch(std::uint32_t hash) const noexcept {
        if (!places_.empty()) __builtin_prefetch(&places_[home(hash)]);
    }

    /// @param is  asked whether a number with this hash is the one
    template <class Is>
    [[nodiscard]] std::uint32_t find(std::uint32_t hash, Is is) const {
        if (places_.empty()) return none;
        for (auto i = home(hash);; i = after(i)) {
            const auto& p = places_[i];
            if (p.number == none) return none;
            if (p.hash == hash && is(p.number)) return p.number;
        }
    }

    /// It is not there yet. May throw std::bad_alloc: then nothing has changed.
    void insert(std::uint32_t hash, std::uint32_t number) {
        if ((size_ + 1) * 10 > places_.size() * 7) grow();
        put({hash, number});
        ++size_;
    }

    /// It is there.
    void renumber(std::uint32_t hash, std::uint32_t from, std::uint32_t to) noexcept {
        places_[place_of(hash, from)].number = to;
    }

    /// It is there. Those behind it move up, so that no gravestone is needed.
    void erase(std::uint32_t hash, std::uint32_t number) noexcept {
        auto hole = place_of(hash, number);
        for (auto i = after(hole); places_[i].number != none; i = after(i)) {
            const auto from_home = (i - home(places_[i].hash)) & mask();
            const auto from_hole = (i - hole) & mask();
            if (from_home < from_hole) continue;  // it would come to lie before its home
            places_[hole] = places_[i];
            hole = i;
        }
        places_[hole].number = none;
        if (--size_ == 0) places_ = {};
    }

private:
    struct place {
        std::uint32_t hash = 0;
        std::uint32_t number = none;
    };

    using places = std::vector<place, huge_allocator<place>>;

    [[nodiscard]] std::size_t mask() const noexcept { return places_.size() - 1; }
    [[nodiscard]] std::size_t home(std::uint32_t hash) const noexcept { return hash & mask(); }
    [[nodiscard]] std::size_t after(std::size_t i) const noexcept { return (i + 1) & mask(); }
    [[nodiscard]] std::size_t place_of(std::uint32_t hash, std::uint32_t number) const noexcept {
        auto i = home(hash);
        while (places_[i].number != number) i = after(i);
        return i;
    }
    void put(place p) noexcept {
        auto i = home(p.hash);
        while (places_[i].number != none) i = after(i);
        places_[i] = p;
    }
    void grow() {
        places before(places_.empty() ? 16 : places_.size() * 2);
        std::swap(before, places_);
        for (const auto& p : before)
            if (p.number != none) put(p);
    }

    places places_;  // as many as a power of two, or none
    std::size_t size_ = 0;
};

}  // namespace snakepit::detail
