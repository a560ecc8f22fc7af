#pragma once
// What happened during a run, as the callers saw it and as the tools wrote it down.

#include <snakepit/error.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
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
    clock::time_point begun{};
    clock::duration timeout{};                      ///< 0: none
    std::optional<clock::time_point> cancelled_at;  ///< by its caller
    int ends = 0;                                   ///< how often its handler has run
    clock::time_point ended{};                      ///< the first time
    std::error_code code;                           ///< none: a value
    bool value_is_right = false;                    ///< it has a value, and the one that belongs to this call
    std::string lost_with;                          ///< which process took it along, when one did
    bool found_no_budget = false;                   ///< it would have run again, but too many calls had
    std::string said;                               ///< the error, when it is one that nothing in the load asks for
};

/// What the tool itself wrote into the file that all workers append to.
struct marks {
    int begun = 0;
    int done = 0;
};

/// How the pool counts the same calls.
struct tally {
    std::uint64_t submitted = 0;
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::uint64_t cancelled = 0;
    std::uint64_t expired = 0;
};

struct history {
    std::deque<call_record> calls;
    std::map<std::uint64_t, marks> runs;  ///< by call
    tally pool;
};

/// Reads what the tools wrote: a line "begun ID" or "done ID" each.
/// @throws std::runtime_error  for a line that is neither
[[nodiscard]] std::map<std::uint64_t, marks> read_marks(const std::filesystem::path& file);

/// One name for all calls that the same end of the same worker cost: the worker and its pid.
[[nodiscard]] std::string process_of(const error& lost);

}  // namespace snakepit::chaos
