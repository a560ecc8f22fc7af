#pragma once
// What is written down of a call while somebody wants to know of its end.

#include <snakepit/events.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace snakepit::detail {

/// Off in the second build of perf/telemetry alone, which says what the look at `call::trail` costs.
#ifdef SNAKEPIT_WITHOUT_TELEMETRY
inline constexpr bool has_telemetry = false;
#else
inline constexpr bool has_telemetry = true;
#endif

/** Made when a call is, if somebody listens; the switchboard writes it down as the call goes on, under its mutex. A
   call without one pays for a look at a null pointer at each step. */
struct call_trail {
    using clock = std::chrono::steady_clock;

    clock::time_point submitted = clock::now();
    clock::time_point queued = submitted;  ///< since when it waits for a place at a worker, or has waited last
    clock::time_point placed;              ///< it has one; before `queued`: none now
    clock::duration waited{};              ///< for places that it has had
    std::vector<happened::attempt> attempts;

    void has_place() {
        placed = clock::now();
        waited += placed - queued;
    }
    std::uint64_t run_us = 0;
    bool hedge = false;
};

}  // namespace snakepit::detail
