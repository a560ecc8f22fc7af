#include "stress/chaos/session_value.hpp"

#include <fmt/format.h>
#include <charconv>
#include <vector>

namespace snakepit::chaos {
namespace {

std::vector<std::string_view> parts_of(std::string_view text) {
    std::vector<std::string_view> parts;
    for (std::size_t at = 0; at != text.npos;) {
        const auto end = text.find('/', at);
        parts.push_back(text.substr(at, end - at));
        at = end == text.npos ? end : end + 1;
    }
    return parts;
}

/// 0: it is none.
std::uint64_t number_in(std::string_view text) {
    std::uint64_t found = 0;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), found);
    return wrong == std::errc() && end == text.data() + text.size() ? found : 0;
}

}  // namespace

std::string to_text(const session_value& v) {
    auto text = fmt::format("{}/{}/{}", v.key, v.variable, v.number);
    if (v.count != 0) text += fmt::format("/{}", v.count);
    return text;
}

std::optional<session_value> parse(std::string_view text) {
    const auto parts = parts_of(text);
    if (parts.size() != 3 && parts.size() != 4) return {};
    session_value v{std::string(parts[0]), std::string(parts[1]), number_in(parts[2]), 0};
    if (parts.size() == 4) v.count = number_in(parts[3]);
    if (v.number == 0 || (parts.size() == 4 && v.count == 0)) return {};
    return v;
}

}  // namespace snakepit::chaos
