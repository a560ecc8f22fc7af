#include "cli/input_value.hpp"

#include "value/json_text.hpp"
#include "value/utf8.hpp"

#include <string>

namespace snakepit::cli {
namespace {

constexpr std::string_view blank = " \t\r";

std::string_view trimmed(std::string_view line) {
    const auto first = line.find_first_not_of(blank);
    if (first == line.npos) return {};
    return line.substr(first, line.find_last_not_of(blank) - first + 1);
}

/// Whether it is worth parsing: false for nearly every line that is not JSON.
bool may_be_json(std::string_view line) {
    const auto text = trimmed(line);
    if (text.empty()) return false;
    switch (text.front()) {
        case '{': return text.back() == '}';
        case '[': return text.back() == ']';
        case '"': return text.size() > 1 && text.back() == '"';
        case 't': return text == "true";
        case 'f': return text == "false";
        case 'n': return text == "null";
        default: return text.find_first_not_of("0123456789+-.eE") == text.npos;
    }
}

result<value> text_value(std::string_view line) {
    if (!detail::is_utf8(line)) return tl::unexpected(error(errc::unserializable, "the line is not UTF-8"));
    return value(std::string(line));
}

}  // namespace

result<value> value_of_line(std::string_view line, line_form form) {
    if (form == line_form::text) return text_value(line);
    if (form == line_form::automatic && !may_be_json(line)) return text_value(line);
    auto parsed = detail::from_json_text(line);
    if (parsed) return parsed;
    if (!detail::is_utf8(line)) return text_value(line);
    const bool is_json = line.find('\0') == line.npos && value::accept(line);
    if (form == line_form::automatic && !is_json) return text_value(line);
    return tl::unexpected(error(errc::bad_arguments, (is_json ? "" : "not JSON: ") + parsed.error().message()));
}

}  // namespace snakepit::cli
