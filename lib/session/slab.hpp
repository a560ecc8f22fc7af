#pragma once
// Many things of one kind, found by number.

#include "pool/intrusive_list.hpp"
#include "session/huge_memory.hpp"

#include <sys/mman.h>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

namespace snakepit::detail {

/** Keeps things of 256 bytes in pieces of 2 MiB, so that they never move and the kernel can map a piece by one entry of
    its tables: half of what it takes to look at one of a million things is to find its page. The first piece is mapped
    page by page, as it is filled. A piece is given back when nothing is left in it.

    T is default constructed while it is not in use, and has a `std::uint32_t& next_free()`. Not thread-safe. */
template <class T>
class slab {
    static constexpr std::uint32_t piece_size = 8'192;
    static_assert(sizeof(T) * piece_size == huge_page);

    class piece {
    public:
        explicit piece(std::uint32_t n)
            : number(n), items_(static_cast<T*>(::operator new(huge_page, std::align_val_t(huge_page)))) {
            if (n != 0) ::madvise(items_, huge_page, MADV_HUGEPAGE);  // a wish
        }
        piece(const piece&) = delete;
        piece& operator=(const piece&) = delete;
        ~piece() {
            std::destroy_n(items_, made_);
            ::operator delete(items_, std::align_val_t(huge_page));
        }

        [[nodiscard]] T* at(std::uint32_t i) noexcept { return i < made_ ? items_ + i : nullptr; }
        [[nodiscard]] bool full() const noexcept { return used_ == piece_size; }
        [[nodiscard]] bool empty() const noexcept { return used_ == 0; }
        std::uint32_t take() {
            ++used_;
            if (first_free_ == none) {
                std::construct_at(items_ + made_);
                return made_++;
            }
            const auto i = first_free_;
            first_free_ = items_[i].next_free();
            return i;
        }
        void give_back(std::uint32_t i) noexcept {
            std::destroy_at(items_ + i);
            std::construct_at(items_ + i);
            items_[i].next_free() = first_free_;
            first_free_ = i;
            --used_;
        }

        list_hook<piece> hook;
        const std::uint32_t number;

    private:
        static constexpr std::uint32_t none = ~std::uint32_t{0};
        T* const items_;
        std::uint32_t made_ = 0;  // those behind were never used, and are no objects yet
        std::uint32_t used_ = 0;
        std::uint32_t first_free_ = none;
    };

public:
    slab() = default;
    slab(const slab&) = delete;
    slab& operator=(const slab&) = delete;

    /// The thing of this number, or null where there never was one; it need not be in use.
    [[nodiscard]] T* at(std::uint32_t number) noexcept {
        const auto p = number / piece_size;
        return p < pieces_.size() && pieces_[p] ? pieces_[p]->at(number % piece_size) : nullptr;
    }

    /// @return  the number of one that was not in use
    std::uint32_t take() {
        if (with_room_.empty()) add_piece();
        piece& p = *with_room_.front();
        const auto i = p.take();
        if (p.full()) with_room_.erase(p);
        return p.number * piece_size + i;
    }

    /// The number becomes one that is not in use. One piece with room is kept, so that nobody who comes and goes pays
    /// for a piece each time.
    void give_back(std::uint32_t number) noexcept {
        piece& p = *pieces_[number / piece_size];
        if (p.full()) with_room_.push_back(p);
        p.give_back(number % piece_size);
        if (!p.empty() || with_room_.size() == 1) return;
        with_room_.erase(p);
        pieces_[p.number].reset();
    }

private:
    void add_piece() {
        std::uint32_t n = 0;
        while (n < pieces_.size() && pieces_[n]) ++n;
        if (n == pieces_.size()) pieces_.emplace_back();
        pieces_[n] = std::make_unique<piece>(n);
        with_room_.push_back(*pieces_[n]);
    }

    std::vector<std::unique_ptr<piece>> pieces_;  // null: not needed at present
    intrusive_list<piece, &piece::hook> with_room_;
};

}  // namespace snakepit::detail
