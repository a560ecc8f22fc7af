#pragma once
// Which sessions there are, and what is done to them: the same from the same numbers.

#include "stress/chaos/schedule.hpp"
#include "stress/chaos/session_log.hpp"

#include <snakepit/value.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit::chaos {

/// The sessions of one key, one after the other.
struct session_kind {
    std::string_view key;
    bool may_be_closed = false;
    bool may_expire = false;
    bool is_strict = false;  ///< its calls have no other affinity
};

[[nodiscard]] std::span<const session_kind> session_kinds();
/// All that there may be in a session, `birth` excepted; `counter` is the last.
[[nodiscard]] std::span<const std::string_view> session_variables();
/// The one that is erased: what is missing elsewhere is missed.
inline constexpr std::string_view erasable = "a";

/// What a tool is to do.
struct session_step {
    std::string_view what;  ///< as the tool calls it
    std::string_view variable;
    std::uint64_t number = 0;  ///< of the value that it writes; 0: it writes none
    unsigned milliseconds = 0;
};

/// One call.
struct session_script {
    const session_kind* kind = nullptr;
    std::string_view tool;
    snakepit::affinity affinity = snakepit::affinity::none;
    std::uint64_t birth = 0;  ///< number of the session's name, if it has to be given one
    std::vector<session_step> steps;
};

/// @param log  gives the numbers
[[nodiscard]] session_script next_script(dice& random, session_log& log);

/// What the tool gets behind the call's number.
[[nodiscard]] value mark_of(const session_script& s);
[[nodiscard]] value steps_of(const session_script& s);

}  // namespace snakepit::chaos
