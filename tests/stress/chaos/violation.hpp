#pragma once
// What a history may turn out to be guilty of.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit::chaos {

enum class fault {
    // Calls.
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
    miscounted,            ///< the pool's statistics tell another story

    // Workers.
    too_many_at_once,  ///< a process runs more calls beside each other than its profile allows
    batch_too_large,   ///< a batch tool was given more calls than it takes
    never_left,        ///< a tool began and its process is idle, but neither its end nor its `finally` has come

    // Streams.
    strange_item,         ///< an item of another stream, or of none
    out_of_order,         ///< items come in another order, or one twice, or with a gap
    too_many_items,       ///< more than the tool yields, or than it was sent
    items_missing,        ///< the end has come before the last item
    ended_in_the_middle,  ///< a value, though the tool's input goes on

    // Maps.
    item_twice,    ///< two results of one item, or one of none
    map_disorder,  ///< results were to come in the order of the range, and do not
    map_too_few,   ///< the end has come, and some items have no result
    read_ahead,    ///< more items were read than the window has room for

    // Variables of sessions.
    never_written,      ///< a value that nobody has written there, or not yet, or whose writing was refused
    mixed_up,           ///< a value of another session, or of an earlier one of the same key
    wrong_version,      ///< a version that belongs to another value
    stale_read,         ///< an older value than one whose writing had been acknowledged before
    went_back,          ///< an older value than the same observer has seen or written before
    write_lost,         ///< no value, though one had been written and nobody has erased it
    set_over_another,   ///< a compare_and_set succeeded though the variable had another version
    count_is_wrong,     ///< fewer increments than were acknowledged, or more than were begun
    came_back,          ///< a session was used after its end
    ended_for_nothing,  ///< nobody has closed the session, and it had not been unused for its time

    // Affinity.
    moved_unsaid,       ///< another worker served the session's call before, and the reply does not say so
    moved_for_nothing,  ///< the reply says so, and it is not true
    left_its_worker     ///< a strict call went elsewhere, though its session's worker went on serving
};

[[nodiscard]] std::string_view to_string(fault f);

struct violation {
    fault what{};
    std::uint64_t call = 0;  ///< 0: about no single one
    std::string words;
};

/// Of each of them, in their order.
[[nodiscard]] std::vector<fault> faults_of(const std::vector<violation>& found);

}  // namespace snakepit::chaos
