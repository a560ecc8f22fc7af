#pragma once
// What comes in by the admin socket, and what goes out: one JSON object a line. docs/admin.md has it for those who
// write programs for it.

#include <snakepit/error.hpp>
#include <snakepit/events.hpp>
#include <snakepit/log.hpp>
#include <snakepit/options.hpp>
#include <snakepit/value.hpp>

#include <tl/expected.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace snakepit::detail {

constexpr std::size_t longest_request = std::size_t{64} << 10;

namespace admin {

struct status {};
struct workers {};
struct stack {
    std::string worker;
};
struct drain {};
struct resume {};
struct recycle {
    std::optional<std::string> worker;  ///< nothing: all
};
struct resize {
    std::optional<std::string> group;  ///< nothing: the pool's own
    worker_count to;
};
struct kill {
    std::string worker;
};
struct loglevel {
    std::optional<snakepit::log_level> level;  ///< nothing: it is asked for
};
struct events {
    event_filter filter;
    std::string worker;             ///< that the filter wants; empty: any
    std::vector<std::string> only;  ///< the kinds that it names; empty: all
    bool follow = false;            ///< what happens from now on, instead of what has happened
};
struct metrics {};

using request = std::variant<status, workers, stack, drain, resume, recycle, resize, kill, loglevel, events, metrics>;

/// Why a request is not obeyed. The code is the name of an errc, or "bad_request", "unknown_command",
/// "too_many_connections".
struct refusal {
    std::string code;
    std::string message;
};

[[nodiscard]] refusal refusal_of(const error& why);

/// @param line  without its end
[[nodiscard]] tl::expected<request, refusal> parse(std::string_view line);

/// {"ok": true, ...} with the members of `content`, an object, as a line.
[[nodiscard]] std::string ok_line(const value& content = value::object());
[[nodiscard]] std::string refusal_line(const refusal& why);
/// Any object as a line. What is no UTF-8 in it is replaced.
[[nodiscard]] std::string line_of(const value& content);

}  // namespace admin
}  // namespace snakepit::detail
