#pragma once
// Keeps secrets out of a log that gets text line by line.

#include "telemetry/redactor.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace snakepit::detail {

/// Of one stream: private keys go on over lines, and lines that are too long come in pieces. Not thread-safe.
class line_redactor {
public:
    explicit line_redactor(std::shared_ptr<const redactor> by) : by_(std::move(by)) {}

    /// @param goes_on  it is the next piece of the line before
    /// @return  as it may be shown
    [[nodiscard]] std::string show(std::string line, bool goes_on) {
        count_key_lines();
        if (goes_on && rest_is_secret_) return std::string(redactor::instead);
        rest_is_secret_ = line.size() >= shortest_piece && has_secret(line + 'x');
        return by_->text(std::move(line), in_private_key_);
    }
    /// That one is not shown.
    void pass_over(std::string_view line) {
        count_key_lines();
        by_->follow(line, in_private_key_);
        rest_is_secret_ = by_->finds_any();
    }

private:
    static constexpr std::size_t shortest_piece = 8 << 10;  // shorter ones are whole lines: see output_tail

    /// With another byte behind it: the value may be in the next piece alone.
    [[nodiscard]] bool has_secret(const std::string& line) const {
        bool in_private_key = in_private_key_;
        return by_->text(line, in_private_key) != line;
    }
    void count_key_lines() {
        constexpr int longest_key = 200;  // RSA of 16,384 bits has so many
        key_lines_ = in_private_key_ ? key_lines_ + 1 : 0;
        if (key_lines_ > longest_key) in_private_key_ = false;  // it was none
    }

    const std::shared_ptr<const redactor> by_;
    bool in_private_key_ = false;
    int key_lines_ = 0;
    bool rest_is_secret_ = false;  // if the line goes on
};

}  // namespace snakepit::detail
