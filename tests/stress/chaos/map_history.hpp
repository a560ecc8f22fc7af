#pragma once
// What came of the maps of a run.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace snakepit::chaos {

struct map_record {
    std::uint64_t number = 0;
    std::string_view tool;
    bool is_ordered = true;
    std::size_t window = 0;
    std::uint64_t items = 0;  ///< of the range

    std::uint64_t given = 0;          ///< items that were read
    std::uint64_t most_ahead = 0;     ///< of what was returned
    std::vector<std::uint64_t> came;  ///< results, by their items
    bool has_ended = false;           ///< by itself: there are no more results
};

}  // namespace snakepit::chaos
