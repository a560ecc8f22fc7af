#include <snakepit/log.hpp>

#include "telemetry/rfc3339.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace snakepit {
namespace {

/// The length in UTF-8 of what is no ASCII, and moves a cursor, ends a line or turns text around: C1, U+2028 to U+202E,
/// U+2066 to U+2069. 0: there is none.
std::size_t control_at(std::string_view text) {
    const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0; };
    if (at(0) == 0xc2 && at(1) >= 0x80 && at(1) <= 0x9f) return 2;
    if (at(0) != 0xe2) return 0;
    const bool is_one =
        (at(1) == 0x80 && at(2) >= 0xa8 && at(2) <= 0xae) || (at(1) == 0x81 && at(2) >= 0xa6 && at(2) <= 0xa9);
    return is_one ? 3 : 0;
}

/// Nothing that a worker says can look like another record, or move the cursor of a terminal.
void append_escaped(std::string& to, std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const auto byte = static_cast<unsigned char>(c);
        if (const auto size = control_at(text.substr(i))) {
            for (const char part : text.substr(i, size))
                to += fmt::format("\\x{:02x}", static_cast<unsigned char>(part));
            i += size - 1;
        } else if (c == '\n') to += "\\n";
        else if (c == '\r') to += "\\r";
        else if (c == '\t') to += "\\t";
        else if (byte < 0x20 || byte == 0x7f) to += fmt::format("\\x{:02x}", byte);
        else to += c;
    }
}

bool is_plain(std::string_view text) {
    return !text.empty() && std::ranges::none_of(text, [](char c) {
        return c == ' ' || c == '"' || c == '=' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
}

/// In quotes unless it is plain.
void append_word(std::string& to, std::string_view word) {
    if (is_plain(word)) {
        append_escaped(to, word);
        return;
    }
    std::string quoted;
    for (const char c : word) {
        if (c == '"' || c == '\\') quoted += '\\';
        quoted += c;
    }
    to += '"';
    append_escaped(to, quoted);
    to += '"';
}

}  // namespace

std::string to_line(const log_record& r) {
    auto line = fmt::format("{} {} ", detail::rfc3339(r.time), to_string(r.level));
    append_escaped(line, r.logger);
    line += ": ";
    append_escaped(line, r.message);
    for (const auto& [key, value] : r.fields) {
        line += ' ';
        append_word(line, key);
        line += '=';
        append_word(line, value);
    }
    return line;
}

}  // namespace snakepit
