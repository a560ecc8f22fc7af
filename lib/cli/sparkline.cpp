#include "cli/sparkline.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace snakepit::cli {

bool locale_has_utf8() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* given = std::getenv(name);
        if (!given || !*given) continue;
        std::string text(given);
        std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
        return text.find("utf-8") != text.npos || text.find("utf8") != text.npos;
    }
    return false;
}

std::string sparkline(const std::deque<double>& numbers, std::size_t columns, bool utf8) {
    constexpr std::array<std::string_view, 8> bars{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    constexpr std::array<std::string_view, 8> plain{"_", ".", ",", "-", "~", "+", "*", "#"};
    const auto count = std::min(columns, numbers.size());
    const auto first = numbers.end() - static_cast<std::ptrdiff_t>(count);
    const double largest = count == 0 ? 0 : *std::max_element(first, numbers.end());
    std::string line(columns - count, ' ');
    for (auto at = first; at != numbers.end(); ++at) {
        constexpr double top = 7;
        const double part = largest > 0 ? *at / largest : 0;
        const auto height = static_cast<std::size_t>(std::clamp(std::ceil(part * top), 0.0, top));
        line += utf8 ? bars[height] : plain[height];
    }
    return line;
}

}  // namespace snakepit::cli
