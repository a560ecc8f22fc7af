#pragma once
// Why a pool does nothing for anybody, in the same words wherever it is asked.

#include <snakepit/error.hpp>

#include <string>

namespace snakepit::detail {

inline error forked_error() {
    return {errc::forked,
            "this process was forked from the one that the pool belongs to, without its threads and those of "
            "gRPC; make pools in the parent, in a child that was forked before any pool started, or behind "
            "an exec()"};
}

inline error stopped_error() { return {errc::pool_stopped, "the pool is stopping or has stopped"}; }
inline error draining_error() {
    return {errc::pool_draining,
            "an operator lets no more calls in (`snakepit drain`); `snakepit resume` takes that back"};
}
/// To whoever works for a call, or asks for one.
inline error call_over_error() { return {errc::session_closed, "the call is over"}; }
inline error destroyed_error() { return {errc::pool_stopped, "the pool was destroyed"}; }

inline error session_moved_error(const std::string& tool) {
    const error e(errc::session_moved,
                  "the session's worker has gone, and what Python kept of the session; its next call is given another "
                  "worker");
    return e.with_tool(tool);
}
inline error session_busy_error(const std::string& tool) {
    const error e(errc::session_busy, "the session's worker has no room; try again later, or use affinity::strict");
    return e.with_tool(tool);
}

/// "", or words for it behind "worker".
[[nodiscard]] inline std::string of_group(const std::string& name) {
    return name.empty() ? std::string() : " of group \"" + name + '"';
}

}  // namespace snakepit::detail
