#pragma once
// What can be told about a pool, as it happens.

#include "capsule/worker_machine.hpp"

#include <snakepit/error.hpp>
#include <snakepit/options.hpp>
#include <snakepit/stats.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>

namespace snakepit::detail::happened {

/// A worker belongs to the pool from now on; it is booting.
struct hired {
    std::string worker;
};
/// Nothing is left of a worker that the pool had no more use for.
struct left {
    std::string worker;
};
/// Its state machine has moved; working and idle among it, which the heartbeat sees.
struct moved {
    std::string worker;
    std::uint64_t incarnation = 0;  ///< the newest
    worker_state from{};
    worker_state to{};
    happening what{};
    std::string why;  ///< where there is more to say than `what` does
};
/// Its event loop does not turn, though it has something to do; or it does again.
struct loop_blocked {
    std::string worker;
    std::uint64_t incarnation = 0;
    std::chrono::microseconds so_far{};
    std::string by;     ///< the tool and its call, or what else it may be
    std::string stack;  ///< of Python; empty: it turns again
};
/// One incarnation has ended.
struct ended {
    std::string worker;
    std::uint64_t incarnation = 0;
    bool planned = false;  ///< it was told to: no death
    error why;             ///< with its exit and last output
};
/// It will be started again.
struct restarting {
    std::string worker;
    std::uint64_t restarts = 0;  ///< this one included
    std::chrono::milliseconds pause{};
};
/// A successor has taken over.
struct recycled {
    std::string worker;
    std::uint64_t incarnation = 0;  ///< the successor's
    recycle_reason reason{};
};
/// One more worker of a group is out of service.
struct degraded {
    std::string group;
    std::string why;  ///< all of them
};
/// None is any more.
struct recovered {
    std::string group;
};
/// A group was told to have another size.
struct resized {
    std::string group;
    worker_count from;
    worker_count to;
};

using what = std::variant<hired, left, moved, loop_blocked, ended, restarting, recycled, degraded, recovered, resized>;

}  // namespace snakepit::detail::happened

namespace snakepit::detail {

struct event {
    std::chrono::system_clock::time_point time;
    happened::what what;
};

}  // namespace snakepit::detail
