#pragma once
// What the tools themselves wrote into the file that all workers append to.

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <vector>

namespace snakepit::chaos {

/// How often one call's tool has begun, and has finished its work.
struct marks {
    int begun = 0;
    int done = 0;
};

/// One run of a tool has begun or ended, in one process. A line of its own, and so in the order in which they came.
struct journal_line {
    enum class kind {
        born,   ///< the process, whose number may have been another's before
        begun,  ///< its tool
        done,   ///< it has finished
        left    ///< however it ended
    };
    kind what{};
    int process = 0;
    std::vector<std::uint64_t> calls{};  ///< several: a batch
};

using journal = std::deque<journal_line>;

/// Reads lines "WHAT PROCESS CALL...".
/// @throws std::runtime_error  for a line that is no such
[[nodiscard]] journal read_journal(const std::filesystem::path& file);

[[nodiscard]] std::map<std::uint64_t, marks> marks_of(const journal& all);

}  // namespace snakepit::chaos
