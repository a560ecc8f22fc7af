#pragma once
// Many things of one kind, found by number.

#include "pool/intrusive_list.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace snakepit::detail {

/** Keeps things in pieces of 64, so that they never move, and gives a piece back when nothing is left in it. T is
    default constructed while it is not in use, and has a `std::uint32_t next_free`. Not thread-safe. */
template <class T>
class slab {
    static constexpr std::uint32_t piece_size = 64;
    struct piece {
        std::array<T, piece_size> items;
        list_hook<piece> hook;
        std::uint32_t first_free = 0;
        std::uint32_t used = 0;
        std::uint32_t number = 0;
    };

public:
    slab() = default;
    slab(const slab&) = delete;
    slab& operator=(const slab&) = delete;

    /// The thing of this number, or null where there is no memory behind it; it need not be in use.
    [[nodiscard]] T* at(std::uint32_t number) noexcept {
        const auto p = number / piece_size;
        return p < pieces_.size() && pieces_[p] ? &pieces_[p]->items[number % piece_size] : nullptr;
    }

    /// @return  the number of one that was not in use
    std::uint32_t take() {
        if (with_room_.empty()) add_piece();
        piece& p = *with_room_.front();
        const auto i = p.first_free;
        p.first_free = p.items[i].next_free;
        if (++p.used == piece_size) with_room_.erase(p);
        return p.number * piece_size + i;
    }

    /// The number becomes one that is not in use. One piece with room is kept, so that nobody who comes and goes pays
    /// for a piece each time.
    void give_back(std::uint32_t number) noexcept {
        piece& p = *pieces_[number / piece_size];
        T& item = p.items[number % piece_size];
        std::destroy_at(&item);
        std::construct_at(&item);
        item.next_free = p.first_free;
        p.first_free = number % piece_size;
        if (p.used-- == piece_size) with_room_.push_back(p);
        if (p.used != 0 || with_room_.size() == 1) return;
        with_room_.erase(p);
        vacant_.push_back(p.number);
        pieces_[p.number].reset();
    }

private:
    void add_piece() {
        if (vacant_.empty()) {
            vacant_.reserve(pieces_.size() + 1);  // give_back() needs no memory
            vacant_.push_back(static_cast<std::uint32_t>(pieces_.size()));
            pieces_.emplace_back();
        }
        auto& p = pieces_[vacant_.back()];
        p = std::make_unique<piece>();
        p->number = vacant_.back();
        vacant_.pop_back();
        for (std::uint32_t i = 0; i < piece_size; ++i) p->items[i].next_free = i + 1;
        with_room_.push_back(*p);
    }

    std::vector<std::unique_ptr<piece>> pieces_;
    std::vector<std::uint32_t> vacant_;  // numbers of pieces that there are not
    intrusive_list<piece, &piece::hook> with_room_;
};

}  // namespace snakepit::detail
