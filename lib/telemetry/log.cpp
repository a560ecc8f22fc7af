#include <snakepit/log.hpp>

#include "telemetry/rfc3339.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace snakepit {
namespace {

/// Nothing that a worker says can look like another record, or move the cursor of a terminal.
void append_escaped(std::string& to, std::string_view text) {
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '\n') to += "\\n";
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

}  // namespace

std::string to_line(const log_record& r) {
    auto line = fmt::format("{} {} ", detail::rfc3339(r.time), to_string(r.level));
    append_escaped(line, r.logger);
    line += ": ";
    append_escaped(line, r.message);
    for (const auto& [key, value] : r.fields) {
        line += ' ';
        append_escaped(line, key);
        line += '=';
        if (is_plain(value)) {
            line += value;
            continue;
        }
        std::string quoted;
        for (const char c : value) {
            if (c == '"' || c == '\\') quoted += '\\';
            quoted += c;
        }
        line += '"';
        append_escaped(line, quoted);
        line += '"';
    }
    return line;
}

}  // namespace snakepit
