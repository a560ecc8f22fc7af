#pragma once
// What `snakepit top` shows, as lines.

#include "cli/top_history.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace snakepit::cli {

struct view_options {
    std::size_t columns;
    bool utf8;
};

/// The pool as a whole.
[[nodiscard]] std::vector<std::string> header_lines(const top_history& of, const view_options& how);
/// The names of the columns, then a line for each worker, in the order of `workers`.
[[nodiscard]] std::vector<std::string> worker_lines(const top_history& of, const view_options& how);

}  // namespace snakepit::cli
