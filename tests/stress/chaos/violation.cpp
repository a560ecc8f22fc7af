#include "stress/chaos/violation.hpp"

namespace snakepit::chaos {

std::string_view to_string(fault f) {
    switch (f) {
        case fault::never_ended: return "never ended";
        case fault::ended_twice: return "ended twice";
        case fault::ran_twice: return "ran twice without permission";
        case fault::wrong_value: return "wrong value";
        case fault::value_without_work: return "value without work";
        case fault::overstayed: return "waited past its deadline plus grace";
        case fault::gave_up_early: return "expired before its deadline";
        case fault::cancelled_unasked: return "cancelled though nobody asked";
        case fault::lost_with_another: return "lost with a worker that was executing another call";
        case fault::lost_with_permission: return "lost though it may run again";
        case fault::unexpected_error: return "unexpected error";
        case fault::miscounted: return "counted differently by the pool";
    }
    return "?";
}

}  // namespace snakepit::chaos
