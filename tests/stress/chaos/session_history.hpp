#pragma once
// What happened to sessions during a run, as those saw it who used them.

#include "stress/chaos/session_value.hpp"

#include <snakepit/session_options.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace snakepit::chaos {

using clock = std::chrono::steady_clock;

/// The variable that names a session: whoever finds none writes one. The number of that write stands for the session,
/// so that two sessions of the same key, one after the other, are told apart.
inline constexpr auto birth = "born";
/// The variable that is only ever incremented.
inline constexpr auto counter = "count";

/// One operation on one session.
struct session_op {
    enum class kind { read, write, erase, expire, close };
    enum class outcome {
        done,
        refused,  ///< version_conflict: nothing has changed
        closed,   ///< the session had ended: nothing has changed
        unknown   ///< it may have been done, or may yet be: its call has failed
    };
    static constexpr auto never = clock::time_point::max();

    kind what = kind::read;
    outcome how = outcome::done;
    std::uint64_t observer = 0;  ///< who does one thing after the other: a call, or a handle of the host
    std::uint64_t call = 0;      ///< 0: the host itself
    std::string key;
    std::uint64_t session = 0;  ///< number of its birth; 0: not known
    std::string variable{};
    std::optional<session_value> value{};     ///< that was read or written; nothing: there was none
    std::string strange{};                    ///< what was read, when it is no session_value
    std::uint64_t version = 0;                ///< 0: not known
    std::optional<std::uint64_t> expected{};  ///< by compare_and_set
    std::chrono::milliseconds ttl{};          ///< to be set by `expire`
    clock::time_point began{};
    clock::time_point ended{};  ///< when it was known to be done; `never` unless it was
};

/// One call in a session.
struct session_call {
    std::uint64_t id = 0;
    std::string key;
    snakepit::affinity affinity = snakepit::affinity::none;
    bool has_run = false;  ///< its tool has begun, whatever came of it
    /// Its worker may have begun it, and its tool had no time to say so: where several run, a cancel may come first.
    bool may_have_run = false;
    clock::time_point begun{};  ///< by its caller
    clock::time_point ended{};  ///< for its caller

    // When it has a value:
    std::string process{};    ///< that ran it; empty: it has none
    clock::time_point ran{};  ///< since when
    bool moved = false;
};

struct session_history {
    std::vector<session_op> ops;  ///< those of an observer in their order
    std::vector<session_call> calls;
};

}  // namespace snakepit::chaos
