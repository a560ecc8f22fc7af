#pragma once
// Results on their way from the order in which they come to the order of the input.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>

namespace snakepit::cli {

/// Lines begun and not yet written. With `keep_order` off, results leave as they come.
class reorder_buffer {
public:
    struct entry {
        std::string text;
        bool failed = false;
    };

    explicit reorder_buffer(bool keep_order) : keep_order_(keep_order) {}

    /// A place for the next line of the input.
    std::uint64_t open(std::size_t input_bytes) {
        bytes_ += input_bytes;
        ++held_;
        if (keep_order_) slots_.emplace_back();
        return next_++;
    }
    /// Its result; each place gets one.
    void fill(std::uint64_t place, std::size_t input_bytes, entry result) {
        bytes_ += result.text.size() - input_bytes;
        if (!keep_order_) slots_.emplace_back();
        slot& s = keep_order_ ? slots_[static_cast<std::size_t>(place - first_)] : slots_.back();
        s.result = std::move(result);
        s.filled = true;
    }
    /// Whether one can leave now.
    [[nodiscard]] bool ready() const { return !slots_.empty() && slots_.front().filled; }
    entry pop() {
        entry out = std::move(slots_.front().result);
        slots_.pop_front();
        ++first_;
        --held_;
        bytes_ -= out.text.size();
        return out;
    }

    [[nodiscard]] std::size_t lines() const noexcept { return held_; }
    /// Of inputs whose results are not here, and of results.
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
    struct slot {
        entry result;
        bool filled = false;
    };

    bool keep_order_;
    std::deque<slot> slots_;
    std::uint64_t next_ = 0;
    std::uint64_t first_ = 0;
    std::size_t held_ = 0;
    std::size_t bytes_ = 0;
};

}  // namespace snakepit::cli
