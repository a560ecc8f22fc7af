#pragma once
// What came over the streams of a run, as those saw it who read and fed them.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace snakepit::chaos {

/// How the reading of a stream has ended.
enum class stream_end {
    open,     ///< not at all
    dropped,  ///< its reader has let go of it
    value,
    raised,  ///< the error that its tool was to raise behind its last item
    other    ///< an error: a death, the deadline, a cancellation
};

/// One stream. Items have numbers, from 0 on.
struct stream_record {
    std::uint64_t call = 0;
    std::string_view tool;
    std::uint64_t planned = 0;  ///< items that its tool yields by itself
    bool relays = false;        ///< its tool yields what it is sent, instead
    bool gathers = false;       ///< its tool returns the numbers that it was sent, at most `planned`
    bool is_read_whole = true;  ///< nobody has asked for its end before its items

    std::vector<std::uint64_t> items;  ///< that came; `strange` in place of one that is not its own
    bool more_after_end = false;       ///< an item came though there were to be no more
    stream_end end = stream_end::open;
    std::optional<std::uint64_t> counted;  ///< as its tool returned it
    std::vector<std::uint64_t> gathered;   ///< likewise

    std::uint64_t given = 0;   ///< items whose sending was begun
    std::uint64_t sent = 0;    ///< and acknowledged
    bool is_finished = false;  ///< finish() was begun
    static constexpr auto strange = ~std::uint64_t{0};
};

}  // namespace snakepit::chaos
