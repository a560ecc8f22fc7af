#pragma once
/// @file
/// What `pool::execute_reply` returns.

#include <snakepit/value.hpp>

#include <string>

namespace snakepit {

/// What a tool returned, and who ran it.
struct reply {
    value result;        ///< what the tool returned
    std::string worker;  ///< id of the worker that served the call ("w0")
    /** Another worker served the session's call before, so that what Python kept of it is not here. A worker that was
        started again or replaced is another one, under the same id. False without a session, with affinity::none, for
        a session's first call, and when the session was forgotten since (`session_options::max_sessions`). */
    bool moved = false;
};

}  // namespace snakepit
