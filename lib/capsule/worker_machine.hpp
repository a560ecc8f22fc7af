#pragma once
// What a capsule does next, and why: the states of a worker, as data. No I/O, no clock, no memory.

#include <snakepit/stats.hpp>

#include <cstdint>
#include <string_view>

namespace snakepit::detail {

/// What happens to a worker, or is asked of it.
enum class happening : std::uint8_t {
    up,                ///< it has said hello, and calls can go to it
    not_up,            ///< it ended, or was given up, before that
    lost,              ///< it was up and has ended, or is to: by itself, by a signal, by a breach of the protocol
    working,           ///< it holds calls
    idle,              ///< it holds none
    missed,            ///< a heartbeat is overdue, and nothing says that it is merely busy
    alive,             ///< a heartbeat came, or it is busy after all
    silent,            ///< too many heartbeats are overdue: it is given up
    worn,              ///< it is to be replaced: a limit, or on demand
    successor_up,      ///< its replacement is ready for calls
    successor_failed,  ///< its replacement did not come up
    due,               ///< the back-off is over, or it is time for a probe
    spent,             ///< its restart budget, or its pool's, is used up
    retire,            ///< its pool has no use for it any more
    stop,              ///< its pool wants it to end
    gone,              ///< nothing is left of it
};

/// What the capsule is to do about it.
enum class action : std::uint8_t {
    none,
    start,       ///< a process, and wait for `up` or `not_up`
    publish,     ///< calls may go to it
    withhold,    ///< no new calls for now
    give_up_on,  ///< dump its stack, then end it: it is lost
    back_off,    ///< wait, then `due`; or `spent`
    breed,       ///< start its successor beside it
    hand_over,   ///< calls go to the successor from now on; the predecessor drains and ends
    carry_on,    ///< without the successor
    promote,     ///< the successor, which is on its way, is all there is
    retire,      ///< no new calls; when it has finished what it holds it ends, then `gone`
    end,         ///< the stop ladder, for whatever there is; then `gone`
    break_down,  ///< out of service; probe now and then
    finish,      ///< the capsule is done
};

[[nodiscard]] std::string_view to_string(happening h) noexcept;

/** The one authority on a worker's state; ARCHITECTURE.md draws it.

    A happening that makes no sense in a state changes nothing: messages cross on their way. */
class worker_machine {
public:
    [[nodiscard]] worker_state state() const noexcept { return state_; }
    [[nodiscard]] action on(happening h) noexcept;

private:
    worker_state state_ = worker_state::booting;
};

}  // namespace snakepit::detail
