#include "session/session_names.hpp"

#include "value/utf8.hpp"

#include <snakepit/session_options.hpp>

#include <fmt/format.h>

namespace snakepit::detail {

std::optional<error> refuse_name(std::string_view name, const char* what) {
    if (name.empty()) return error(errc::invalid_name, fmt::format("{} is empty", what));
    if (name.size() > max_name_bytes)
        return error(errc::invalid_name,
                     fmt::format("{} has {} bytes; {} are allowed", what, name.size(), max_name_bytes));
    if (!is_utf8(name)) return error(errc::invalid_name, fmt::format("{} is not UTF-8", what));
    return {};
}

}  // namespace snakepit::detail
