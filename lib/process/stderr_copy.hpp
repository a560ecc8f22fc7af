#pragma once
// Copies what a process writes to the host's stderr, as far as that takes it.

#include "process/allowance.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace snakepit::detail {

/** Writes whole lines with a prefix to the host's stderr. Never waits: what stderr does not take at once is left out,
   as is what comes too fast (see `allowance`), and the number of lines that are missing is
   written when there is room again.

    @par Thread safety  one thread at a time; several objects write one after the other */
class stderr_copy {
public:
    explicit stderr_copy(std::string prefix) : prefix_(std::move(prefix)) {}
    void take(std::string_view text);
    /// A last line without an end is one too.
    void finish();

private:
    void copy(std::string_view line);
    [[nodiscard]] bool tell_of_missing();

    const std::string prefix_;
    std::string unfinished_;
    allowance allowance_;
    std::size_t missing_ = 0;
};

}  // namespace snakepit::detail
