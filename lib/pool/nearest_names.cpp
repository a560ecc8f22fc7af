#include "pool/nearest_names.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <numeric>

namespace snakepit::detail {
namespace {

/// Levenshtein's distance: insertions, deletions and substitutions between the two.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const auto substituted = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
        }
    }
    return row.back();
}

constexpr std::size_t shown = 8;

}  // namespace

std::string nearest_names(std::string_view wanted, const std::vector<std::string>& names) {
    if (names.empty()) return "there are no tools";
    wanted = wanted.substr(0, 200);
    std::vector<std::pair<std::size_t, std::string>> near;
    for (const auto& n : names)
        if (const auto d = distance(wanted, n); d <= std::max<std::size_t>(2, wanted.size() / 3))
            near.emplace_back(d, n);
    std::sort(near.begin(), near.end());
    if (near.empty()) {
        const auto some = std::vector<std::string>(
            names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(shown, names.size())));
        return fmt::format("there are: {}{}", fmt::join(some, ", "), names.size() > shown ? ", ..." : "");
    }
    std::string text = "did you mean ";
    for (std::size_t i = 0; i < std::min<std::size_t>(3, near.size()); ++i) text += (i ? ", " : "") + near[i].second;
    return text + "?";
}

error unknown_tool_error(const std::string& wanted, const std::vector<std::string>& names) {
    const error e(errc::unknown_tool, fmt::format("no tool \"{}\"; {}", wanted, nearest_names(wanted, names)));
    return e.with_tool(wanted);
}

}  // namespace snakepit::detail
