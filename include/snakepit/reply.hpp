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
    /** The session's call before went to another worker, so that what Python kept of it is not here. A worker that was
        started again or replaced is another one, under the same id. With affinity::hint also when that call was given
        up there before it was begun, if that was not known yet. False without a session, with affinity::none, for a
        session's first call, and when the session was forgotten since (`session_options::max_sessions`). */
    bool moved = false;
};

}  // namespace snakepit
