#pragma once
/// @file
/// What a pool can tell about itself.

#include <snakepit/options.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit {

/// Where a worker is in its life.
enum class worker_state {
    booting,     ///< started, not yet ready
    ready,       ///< waits for calls
    executing,   ///< holds at least one call
    stopping,    ///< finishes what it holds, then ends
    restarting,  ///< ended; waits to be started again
    dead         ///< ended for good
};

[[nodiscard]] constexpr std::string_view to_string(worker_state s) noexcept {
    switch (s) {
        case worker_state::booting: return "booting";
        case worker_state::ready: return "ready";
        case worker_state::executing: return "executing";
        case worker_state::stopping: return "stopping";
        case worker_state::restarting: return "restarting";
        case worker_state::dead: return "dead";
    }
    return "unknown";
}

/// One worker at one moment.
struct worker_stats {
    std::string id;  ///< "w0"
    worker_state state = worker_state::booting;
    int pid = 0;                    ///< 0 when there is no process
    std::uint64_t incarnation = 0;  ///< how often it was started
    std::size_t outstanding = 0;    ///< calls sent and not ended
    std::uint64_t restarts = 0;     ///< starts after the first
    std::string lane;               ///< "direct", "iterator", or empty before the first hello
    std::string last_exit;          ///< how the last incarnation ended; empty before
};

/// A pool at one moment. Counters only grow. Every call that was let in is in exactly one of the outcomes, or in
/// `queued` or `in_flight`.
struct pool_stats {
    std::uint64_t submitted = 0;            ///< calls that were let in: queued or sent
    std::uint64_t succeeded = 0;            ///< ended with a value
    std::uint64_t failed = 0;               ///< ended with an error that is none of the next two
    std::uint64_t cancelled = 0;            ///< ended by their callers
    std::uint64_t expired = 0;              ///< ended by their deadlines
    std::uint64_t refused = 0;              ///< never let in: queue full
    std::uint64_t late_replies = 0;         ///< replies whose callers had gone
    std::uint64_t refused_connections = 0;  ///< peers at the socket that were not our workers
    std::size_t queued = 0;                 ///< wait for a worker
    std::size_t in_flight = 0;              ///< sent, with a caller that waits
    /// How workers are started: as `pool_options::start_method` says, or spawn where fork cannot be.
    snakepit::start_method start_method = snakepit::start_method::fork;
    std::string start_method_reason;  ///< why not fork; empty when it is
    std::vector<worker_stats> workers;
};

}  // namespace snakepit
