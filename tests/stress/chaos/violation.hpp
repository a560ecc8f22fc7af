#pragma once
// What a history may turn out to be guilty of.

#include <cstdint>
#include <string>
#include <string_view>

namespace snakepit::chaos {

enum class fault {
    never_ended,           ///< the caller still waits
    ended_twice,           ///< its handler ran more than once
    ran_twice,             ///< the tool began it more than once, without permission
    wrong_value,           ///< a value that is not what this call returns
    value_without_work,    ///< a value, but the tool never finished it
    overstayed,            ///< its caller waited past its deadline, or its own cancellation, plus grace
    gave_up_early,         ///< deadline_exceeded before the deadline
    cancelled_unasked,     ///< cancelled, but its caller had not asked
    lost_with_another,     ///< worker_lost, though that worker was executing another call
    lost_with_permission,  ///< worker_lost, though it may run again, and not for want of budget
    unexpected_error,      ///< an error that nothing in the load asks for
    miscounted             ///< the pool's statistics tell another story
};

[[nodiscard]] std::string_view to_string(fault f);

struct violation {
    fault what{};
    std::uint64_t call = 0;  ///< 0: about no single one
    std::string words;
};

}  // namespace snakepit::chaos
