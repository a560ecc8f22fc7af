#pragma once
// A row of bars as high as numbers.

#include <deque>
#include <string>

namespace snakepit::cli {

/// Whether the locale of the environment has UTF-8, as LC_ALL, LC_CTYPE and LANG say.
[[nodiscard]] bool locale_has_utf8();

/// The last `columns` numbers, the newest on the right, as parts of the largest of them. Blank where there is none.
[[nodiscard]] std::string sparkline(const std::deque<double>& numbers, std::size_t columns, bool utf8);

}  // namespace snakepit::cli
