#pragma once
// One incarnation of a worker as the switchboard sees it, and the lane that carries its frames.

#include "pool/call.hpp"
#include "pool/credit.hpp"
#include "pool/intrusive_list.hpp"
#include "pool/session_homes.hpp"
#include "pool/stream_state.hpp"
#include "session/lease.hpp"
#include "session/read_ahead.hpp"

#include <absl/container/flat_hash_map.h>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace snakepit::detail {

class switchboard;

/// A piece of a large value, of a string that stays alive as long as the piece.
struct out_chunk {
    std::uint64_t transfer = 0;
    std::size_t offset = 0;
    std::size_t size = 0;
    std::shared_ptr<const std::string> whole;  ///< null: forget the transfer
};

/// A call that is on its way. What it has to say stays in the call, which may have to be sent again, elsewhere.
struct out_call {
    std::uint64_t id = 0;
    std::uint32_t tool = 0;          ///< the worker's number of it
    std::uint64_t transfer = 0;      ///< 0: the arguments go along with it
    std::shared_ptr<const call> of;  ///< for `arguments`, `session` and `deadline`, which do not change any more
};

/// What a call of the same frame takes along.
struct out_lease {
    std::size_t of = 0;  ///< its place in the frame's calls
    read_ahead::names names;
    lent what;
};

/// An answer to a question of the worker's.
struct out_answer {
    std::uint64_t number = 0;
    std::uint64_t transfer = 0;                ///< 0: the bytes go along with it
    std::shared_ptr<const std::string> bytes;  ///< a Finding
};

/// A part of a stream call's input.
struct out_input {
    std::uint64_t call = 0;
    input_piece what;
};

/// Credit for a stream call's items.
struct out_grant {
    std::uint64_t call = 0;
    std::size_t bytes = 0;
};

/// What leaves as one frame.
struct out_frame {
    std::vector<out_chunk> chunks;
    std::vector<out_answer> answers;
    std::vector<out_call> calls;
    std::vector<out_lease> leases;
    std::vector<out_input> inputs;
    std::vector<out_grant> grants;
    std::uint64_t writes_taken = 0;  ///< from the worker, when the first of these was given
    std::size_t bytes = 0;

    [[nodiscard]] std::size_t items() const noexcept {
        return chunks.size() + answers.size() + calls.size() + inputs.size() + grants.size();
    }
    void clear() {
        chunks.clear();
        answers.clear();
        calls.clear();
        leases.clear();
        inputs.clear();
        grants.clear();
        bytes = 0;
    }
};

/** What the switchboard asks of a transport: a gRPC stream, or a fake in tests.

    @par Thread safety  called from any thread, never under the switchboard's mutex */
class lane {
public:
    virtual ~lane() = default;
    /// Take frames from the switchboard and write them, one at a time, until there are none.
    virtual void flush() = 0;
    /// Tell the worker that these calls are not wanted any more.
    virtual void cancel(const std::vector<std::uint64_t>& ids) = 0;
    /// Ask for these calls back, those that have not begun; and have the worker send what is ready, also without any.
    virtual void recall(const std::vector<std::uint64_t>& ids) = 0;
    /// It has served as many calls as were agreed upon by `switchboard::connect`, or `retire`. Once for each.
    virtual void served() = 0;
};

/// All of it belongs to the switchboard and is touched under its mutex only.
class line {
public:
    line() = default;

private:
    friend class switchboard;

    const switchboard* board = nullptr;
    static constexpr std::uint32_t no_such_tool = ~std::uint32_t{0};

    list_hook<line> bucket_hook;
    bool routable = false;
    bool writing = false;
    bool gone = false;  // never routable again
    bool closed = false;
    int width = 1;                   // calls that its worker executes at once
    int at_once = 1;                 // most calls that begin and end together: the largest batch of a tool
    int load = 0;                    // calls with a place here: in outbox, transfers, sent
    int batched = 0;                 // those of them that run together with others, in batches
    int on_main = 0;                 // calls with a place here that run on its main thread, beside the others
    std::uint64_t main_watched = 0;  // the first of them when the lines were looked at last
    line_credit credit;              // how many more it is given
    std::size_t in_flight = 0;       // bytes of their arguments
    call* flush_posted = nullptr;    // the call in the outbox on whose executor a flush is on its way
    std::shared_ptr<lane> out;
    std::vector<std::uint32_t> tools;  // the pool's number of a tool -> this worker's

    [[nodiscard]] bool has(std::uint32_t tool) const noexcept {
        return tool < tools.size() && tools[tool] != no_such_tool;
    }
    intrusive_list<call, &call::hook> outbox;
    std::size_t outbox_bytes = 0;
    std::uint64_t last_id = 0;
    std::uint64_t left = 0;        // calls until it has served what was agreed upon; 0: no limit, or it has
    std::uint64_t ended = 0;       // calls that it has ended
    std::uint64_t seen_ended = 0;  // and those when `switchboard::look` came by, with the load that there was
    int seen_load = 0;
    absl::flat_hash_map<std::uint64_t, call*> sent;
    intrusive_list<call, &call::hook> transfers;  // large calls that are being sent, turn by turn
    std::vector<std::uint64_t> aborts;            // transfers to be forgotten
    std::uint64_t last_transfer = 0;
    std::deque<out_answer> answers;         // small ones that wait for a frame
    std::deque<out_answer> large_answers;   // the first is being sent, when it has a transfer
    std::size_t answer_offset = 0;          // how much of it was
    std::vector<out_grant> grants;          // that wait for a frame
    std::deque<std::shared_ptr<call>> due;  // stream calls with input that was not sent, turn by turn
    std::string worker;
    std::uint64_t number = 0;                                 // no other line has it, before or after
    intrusive_list<session_home, &session_home::hook> turns;  // sessions whose calls wait for this line, turn by turn
    list_hook<line> waited_for_hook;                          // while there are some, and it is in a bucket
    list_hook<line> all_hook;
    std::shared_ptr<line> self;  // until it is closed
};

}  // namespace snakepit::detail
