#pragma once
// The terminal, while a program has all of it.

#include <array>
#include <chrono>
#include <cstddef>
#include <string>

#include <termios.h>

namespace snakepit::cli {

enum class key { none, up, down, other, resized, interrupted };

struct key_press {
    key what = key::none;
    char letter = 0;  ///< of key::other
    int signal = 0;   ///< of key::interrupted
};

/** The alternate screen without echo, line editing and cursor. Signals come as keys, so that the terminal is as it was
    however this ends.

    @par Lifetime  one at a time */
class terminal {
public:
    /// Whether this process has one, and it is no dumb one.
    [[nodiscard]] static bool is_there();

    terminal();
    terminal(const terminal&) = delete;
    terminal& operator=(const terminal&) = delete;
    ~terminal();

    struct extent {
        std::size_t columns;
        std::size_t rows;
    };
    [[nodiscard]] extent size() const;
    /// @param also  descriptors that end the waiting when one is readable; -1: none
    /// @return  key::none: the time is over, or one of `also` is readable
    [[nodiscard]] key_press wait(std::chrono::milliseconds limit, std::array<int, 2> also);
    /// All of it at once, so that nothing flickers.
    void draw(const std::string& frame) const;

private:
    [[nodiscard]] key_press next_key();

    termios before_{};
    sigset_t mask_before_{};
    int signals_ = -1;
    std::string typed_;  // and not yet said
};

}  // namespace snakepit::cli
