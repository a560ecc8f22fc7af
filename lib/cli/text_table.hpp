#pragma once
// Numbers and rows for people.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit::cli {

/// "3d4h", "12m05s", "7.1s", "45ms": the two units that matter.
[[nodiscard]] std::string duration_text(double seconds);
/// "34.5M"
[[nodiscard]] std::string bytes_text(double bytes);
/// Without characters that a terminal obeys: names come from anywhere.
[[nodiscard]] std::string printable(std::string_view text);
/// The same for a text of several lines, which stay; a tab becomes blanks.
[[nodiscard]] std::string printable_lines(std::string_view text);
/// How many columns it takes; of characters that take two or none this is only about right.
[[nodiscard]] std::size_t columns_of(std::string_view text);
/// At most so many columns of it.
[[nodiscard]] std::string clipped(std::string_view text, std::size_t columns);

/// Columns as wide as what is in them, each line without blanks at its end.
/// @param right  for each column: whether it is aligned on the right, as numbers are
[[nodiscard]] std::vector<std::string> table_lines(const std::vector<std::vector<std::string>>& rows,
                                                   const std::vector<bool>& right);
[[nodiscard]] std::string joined_lines(const std::vector<std::string>& lines);

}  // namespace snakepit::cli
