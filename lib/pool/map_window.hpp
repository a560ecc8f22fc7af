#pragma once
// The items of a map that are begun and not yet taken, and whose turn it is.

#include <snakepit/error.hpp>
#include <snakepit/map.hpp>
#include <snakepit/value.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace snakepit::detail {

/** An item has a place from `open` to `pop`; places are numbered from 0, below the size of the window, and used again.

    @par Thread safety  none */
class map_window {
public:
    map_window(std::size_t size, bool ordered) : size_(size), ordered_(ordered) {}

    [[nodiscard]] bool has_room() const noexcept { return open_ < size_; }
    [[nodiscard]] bool is_empty() const noexcept { return open_ == 0; }
    /// A place for the next item of the range.
    [[nodiscard]] std::size_t open() {
        std::size_t at = places_.size();
        if (free_.empty()) {
            places_.emplace_back();
        } else {
            at = free_.back();
            free_.pop_back();
        }
        places_[at].index = next_index_++;
        ++open_;
        if (ordered_) turns_.push_back(at);
        return at;
    }
    /// Its result; each place gets one.
    void fill(std::size_t at, result<value> outcome) {
        places_[at].outcome = std::move(outcome);
        if (!ordered_) turns_.push_back(at);
    }
    /// Whether the result whose turn it is has come.
    [[nodiscard]] bool is_ready() const { return !turns_.empty() && places_[turns_.front()].outcome; }
    [[nodiscard]] mapped<value> pop() {
        const auto at = turns_.front();
        turns_.pop_front();
        auto& from = places_[at];
        mapped<value> taken{from.index, std::move(*from.outcome)};
        from.outcome.reset();
        free_.push_back(at);
        --open_;
        return taken;
    }

private:
    struct place {
        std::uint64_t index = 0;
        std::optional<result<value>> outcome;
    };

    std::size_t size_;
    bool ordered_;
    std::vector<place> places_;
    std::vector<std::size_t> free_;
    std::deque<std::size_t> turns_;  // in the order in which they leave: of the range, or of their ends
    std::size_t open_ = 0;
    std::uint64_t next_index_ = 0;
};

}  // namespace snakepit::detail
