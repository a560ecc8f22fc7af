#pragma once
// Another program's output, within a time limit.

#include <chrono>
#include <string>
#include <vector>

namespace snakepit::cli {

struct program_end {
    std::string out;      ///< at most 64 KiB of it
    std::string err;      ///< likewise
    std::string problem;  ///< why it could not be run, or did not end well; empty: exit code 0
    bool timed_out = false;
};

/// Runs a program with /dev/null as its input and kills it, and what it has started, when the time is over.
[[nodiscard]] program_end run_program(std::vector<std::string> argv, std::chrono::milliseconds limit);

}  // namespace snakepit::cli
