#pragma once
// What is known of a worker's end: what it has left, and the error in which its calls hear of it.

#include "pool/switchboard.hpp"
#include "process/page.hpp"

#include <snakepit/error.hpp>

#include <chrono>
#include <string>

namespace snakepit::detail {

/** Reads the page of a process that has ended, once.

    @param ran_several  whether it ran more than one call at once
    @param exited_at    when it ended
    @param how          is told the tool that it ran, and for how long; of several, the one that was begun first */
[[nodiscard]] last_words read_last_words(const page& left, const switchboard& board, const line& of, bool ran_several,
                                         std::chrono::steady_clock::time_point exited_at, worker_exit& how);

/// errc::worker_lost, in words.
/// @param reason  why it was ended; empty: it ended by itself
[[nodiscard]] error explain_end(const std::string& worker, int pid, const std::string& reason, worker_exit how);

}  // namespace snakepit::detail
