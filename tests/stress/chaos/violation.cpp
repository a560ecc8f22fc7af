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
        case fault::too_many_at_once: return "too many calls beside each other";
        case fault::batch_too_large: return "a batch too large";
        case fault::never_left: return "a tool was never left";
        case fault::strange_item: return "an item of another stream";
        case fault::out_of_order: return "items out of order";
        case fault::too_many_items: return "too many items";
        case fault::items_missing: return "items missing";
        case fault::ended_in_the_middle: return "a stream ended in the middle of its input";
        case fault::item_twice: return "a result twice, or of no item";
        case fault::map_disorder: return "results out of order";
        case fault::map_too_few: return "results missing";
        case fault::read_ahead: return "read too far ahead";
        case fault::never_written: return "a value that was not written";
        case fault::mixed_up: return "a value of another session";
        case fault::wrong_version: return "a version of another value";
        case fault::stale_read: return "stale read";
        case fault::went_back: return "an observer's view went back";
        case fault::write_lost: return "an acknowledged write was lost";
        case fault::set_over_another: return "compare_and_set over another version";
        case fault::count_is_wrong: return "increments lost or made twice";
        case fault::came_back: return "a session was used after its end";
        case fault::ended_for_nothing: return "a session ended for no reason";
        case fault::moved_unsaid: return "a session moved and nobody was told";
        case fault::moved_for_nothing: return "said to have moved and has not";
        case fault::left_its_worker: return "a strict call left a worker that went on serving";
    }
    return "?";
}

std::vector<fault> faults_of(const std::vector<violation>& found) {
    std::vector<fault> faults;
    for (const auto& v : found) faults.push_back(v.what);
    return faults;
}

}  // namespace snakepit::chaos
