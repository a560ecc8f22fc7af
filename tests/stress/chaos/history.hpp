#pragma once
// What happened during a run, as the callers saw it and as the tools wrote it down.

#include "stress/chaos/journal.hpp"

#include <snakepit/error.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace snakepit::chaos {

using clock = std::chrono::steady_clock;

/// One call, by its caller.
struct call_record {
    std::uint64_t id = 0;
    std::string_view tool;
    bool has_large_reply = false;  ///< perhaps over 4 KiB: then it is not kept when its worker dies before it has left
    bool may_run_again = false;    ///< declared so: a death costs it another attempt, not the call
    bool session_may_end = false;  ///< somebody may close it, or it may expire
    bool may_raise = false;        ///< its tool
    bool is_in_batch = false;      ///< its tool runs several calls at once
    clock::time_point begun{};
    clock::duration timeout{};                      ///< 0: none
    clock::time_point given{};                      ///< to the pool by then, which has let it in or refused it
    clock::time_point listens_since{};              ///< its caller, who may have done something else before
    std::optional<clock::time_point> cancelled_at;  ///< by its caller
    bool is_dropped = false;                        ///< by its caller, who has not heard its outcome
    int ends = 0;                                   ///< how often its handler has run
    clock::time_point ended{};                      ///< the first time
    std::error_code code;                           ///< none: a value
    bool value_is_right = false;                    ///< it has a value, and the one that belongs to this call
    std::string lost_with;                          ///< which process took it along, when one did
    bool found_no_budget = false;                   ///< it would have run again, but too many calls had
    std::string said;                               ///< the error, when it is one that nothing in the load asks for
};

/// How the pool counts the same calls.
struct tally {
    std::uint64_t submitted = 0;
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::uint64_t cancelled = 0;
    std::uint64_t expired = 0;

    [[nodiscard]] std::uint64_t ended() const { return succeeded + failed + cancelled + expired; }
};

struct history {
    std::deque<call_record> calls;
    std::map<std::uint64_t, marks> runs;  ///< by call
    tally pool;
    journal work;
};

/// One name for all calls that the same end of the same worker cost: the worker and its pid.
[[nodiscard]] std::string process_of(const error& lost);

}  // namespace snakepit::chaos
