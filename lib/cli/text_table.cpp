#include "cli/text_table.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cmath>

namespace snakepit::cli {
namespace {

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

}  // namespace

std::string duration_text(double seconds) {
    constexpr double minute = 60;
    constexpr double hour = 60 * minute;
    constexpr double day = 24 * hour;
    if (seconds < 0.001) return fmt::format("{:.0f}us", seconds * 1e6);
    if (seconds < 1) return fmt::format("{:.{}f}ms", seconds * 1e3, seconds < 0.01 ? 1 : 0);
    if (seconds < minute) return fmt::format("{:.1f}s", seconds);
    const auto whole = static_cast<std::uint64_t>(std::min(seconds, 1e15));
    if (seconds < hour) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
    if (seconds < day) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
    return fmt::format("{}d{}h", whole / 86400, whole / 3600 % 24);
}

std::string bytes_text(double bytes) {
    constexpr std::array units{"", "K", "M", "G", "T"};
    constexpr double step = 1024;
    std::size_t unit = 0;
    for (; bytes >= step && unit + 1 < units.size(); ++unit) bytes /= step;
    return unit == 0 ? fmt::format("{:.0f}", bytes) : fmt::format("{:.1f}{}", bytes, units[unit]);
}

std::string printable(std::string_view text) {
    std::string shown(text);
    for (std::size_t i = 0; i < shown.size(); ++i) {
        const auto c = static_cast<unsigned char>(shown[i]);
        // U+0080 to U+009F, which some terminals obey too, are 0xc2 and one of 0x80 to 0x9f in UTF-8.
        const bool second = i > 0 && static_cast<unsigned char>(shown[i - 1]) == 0xc2 && c >= 0x80 && c <= 0x9f;
        if (second) shown[i - 1] = '?';
        if (c < 0x20 || c == 0x7f || second) shown[i] = '?';
    }
    return shown;
}

std::string printable_lines(std::string_view text) {
    constexpr auto tab = "    ";
    std::string shown;
    for (;;) {
        const auto end = text.find_first_of("\n\t");
        shown += printable(text.substr(0, end));
        if (end == text.npos) return shown;
        shown += text[end] == '\n' ? "\n" : tab;
        text.remove_prefix(end + 1);
    }
}

std::size_t columns_of(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, begins_character));
}

std::string clipped(std::string_view text, std::size_t columns) {
    std::size_t seen = 0;
    for (std::size_t i = 0; i < text.size(); ++i)
        if (begins_character(text[i]) && seen++ == columns) return std::string(text.substr(0, i));
    return std::string(text);
}

std::vector<std::string> table_lines(const std::vector<std::vector<std::string>>& rows,
                                     const std::vector<bool>& right) {
    std::vector<std::size_t> widths(right.size());
    for (const auto& row : rows)
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns_of(row[i]));
    std::vector<std::string> lines;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string blanks(widths[i] - columns_of(row[i]), ' ');
            line += i == 0 ? "" : "  ";
            line += right[i] ? blanks + row[i] : row[i] + blanks;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        lines.push_back(std::move(line));
    }
    return lines;
}

std::string joined_lines(const std::vector<std::string>& lines) {
    std::string text;
    for (const auto& l : lines) text += (text.empty() ? "" : "\n") + l;
    return text;
}

}  // namespace snakepit::cli
