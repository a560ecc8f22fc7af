#pragma once
// One call from its admission to its end.

#include "pool/intrusive_list.hpp"
#include "pool/limits.hpp"
#include "telemetry/call_trail.hpp"
#include "telemetry/trace_context.hpp"

#include <snakepit/detail/completion.hpp>
#include <snakepit/error.hpp>
#include <snakepit/options.hpp>
#include <snakepit/session_options.hpp>
#include <snakepit/value.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace snakepit::detail {

class helper;
class line;
class session_use;
class stream_state;
struct session_home;

/// Where a call is. Changes under the switchboard's mutex only.
enum class call_place : std::uint8_t {
    outside,  ///< not yet let in
    queued,   ///< waits for a line
    waiting,  ///< waits for the line of its session
    outbox,   ///< has a place on a line, not yet in a frame
    sent,     ///< in a frame, or partly in one when it is large
    ended     ///< its slot, if it had one, is free
};

/// Whether the host wants a call back that it has sent.
enum class recall_state : std::uint8_t {
    none,
    asked,  ///< its worker was, and may have begun it all the same
    given   ///< its worker has not begun it and never will
};

/// Who served a call.
struct served_by {
    std::string worker;
    bool moved = false;  ///< another worker served the session's call before
};

/** The caller's side of a call and its place in the switchboard.

    It ends twice: for its caller (`answered`) when the outcome is posted, and for its worker (`ended`) when the worker
    has confirmed it. A cancelled or expired call that was sent is answered long before it has ended.

    What every call needs comes first and together: with many calls waiting each is cold when its turn comes. */
struct call {
    using clock = std::chrono::steady_clock;

    // The switchboard's.
    list_hook<call> hook;      ///< in the queue, its session's `waiting`, or a line's outbox or transfers
    list_hook<call> due_hook;  ///< in the timing wheel
    std::uint64_t due_tick = 0;
    std::size_t weight = 0;  ///< bytes that it takes of the line's credit
    line* on = nullptr;
    std::shared_ptr<call> self;  ///< while let in and not ended
    std::uint64_t ticket = 0;    ///< counts the calls that were let in
    std::uint64_t id = 0;        ///< on the wire, once sent
    clock::time_point queued_at;
    std::uint32_t tool_index = 0;
    std::uint32_t expected_us = 0;  ///< what it adds to its line's work
    std::uint16_t due_slot = 0;
    call_place place = call_place::outside;
    recall_state recall = recall_state::none;
    bool answered = false;
    bool batched = false;                                    ///< counted as such by its line
    bool on_main = false;                                    ///< likewise
    bool was_fatal = false;                                  ///< the worker that ran it last has died in it
    snakepit::affinity affinity = snakepit::affinity::none;  ///< the caller's; none without a session

    // The caller's. They do not change once the call was let in.
    snakepit::priority priority = snakepit::priority::normal;
    std::optional<bool> idempotent;  ///< nothing: what the tool says
    bool wants_hedge = false;        ///< and so has to be idempotent
    clock::time_point deadline = clock::time_point::max();
    std::string arguments;  ///< MessagePack, unless it is large
    std::string session;
    completion<result<value>> done;
    std::string tool;
    std::shared_ptr<const std::string> large;  ///< MessagePack over max_inline_bytes

    // The switchboard's again.
    std::size_t offset = 0;                        ///< how much of `large` was sent
    std::uint64_t transfer = 0;                    ///< its number on the line, from its first piece on
    result<value> outcome;                         ///< once answered
    clock::time_point given_up_at;                 ///< by its caller, when it was at its worker
    std::vector<std::shared_ptr<helper>> helpers;  ///< what works for it in the host
    std::atomic<int> nested = 0;                   ///< calls that these have made and that have not ended
    session_home* home = nullptr;                  ///< from its admission to its end, unless its affinity is none
    std::uint64_t sent_before = 0;                 ///< number of the line to which its session's last call was sent

    std::shared_ptr<call_trail> trail;  ///< null: nobody wants to know. Goes when it is answered

    // The caller's again.
    std::shared_ptr<session_use> session_held;   ///< null: it has no session
    std::shared_ptr<stream_state> stream;        ///< null: its caller takes no items. Has its end, instead of `done`
    std::shared_ptr<call> parent;                ///< for whose host tool it was made; null: for none
    std::shared_ptr<const trace_context> trace;  ///< null: none
    std::shared_ptr<served_by> served;           ///< to be filled in before it is answered; null: nobody asks

    /// Bytes on the wire beside the arguments, at most.
    [[nodiscard]] std::size_t overhead() const noexcept {
        return item_overhead + session.size() + (trace ? trace->size() : 0);
    }
};

/// It waits for its session's worker, whatever that takes. Not the call of a host tool: that worker may wait for it.
[[nodiscard]] inline bool is_strict(const call& c) noexcept {
    return (c.affinity == affinity::strict || c.affinity == affinity::strict_fail_fast) && !c.parent;
}

using call_ptr = std::shared_ptr<call>;

}  // namespace snakepit::detail
