#pragma once
// One line of a worker's stdout or stderr, and the call that it belongs to.

#include <cstdint>
#include <string_view>

namespace snakepit::detail {

/** Python writes in front of a line that a call has written `0x1D id ; tool ; trace 0x1D` (py/snakepit/_output.py).
   What is no such tag is a part of the line. */
struct output_line {
    std::string_view text;
    std::uint64_t call = 0;  ///< its number at this worker; 0: none is known
    std::string_view tool;
    std::string_view trace_id;  ///< 32 hex digits, or empty
    bool goes_on = false;       ///< its beginning was another one, too long to wait for its end

    [[nodiscard]] static output_line parse(std::string_view line) noexcept;
};

}  // namespace snakepit::detail
