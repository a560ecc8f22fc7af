// The switchboard's part about what workers are sent, and what comes back.

#include "pool/consequences.hpp"
#include "pool/limits.hpp"
#include "pool/switchboard.hpp"
#include "session/session_use.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace snakepit::detail {
namespace {

constexpr std::uint64_t longest_run_us = 1'000'000'000'000;  // what a worker says may be anything

}  // namespace

bool switchboard::take(line& from, out_frame& into) {
    std::vector<out_chunk> old_chunks;  // they may hold large values: freed without the mutex
    const std::lock_guard lock(mutex_);
    from.flush_posted = nullptr;
    if (from.writing || from.closed) return false;
    if (from.outbox.empty() && from.transfers.empty() && from.aborts.empty() && from.answers.empty() &&
        from.large_answers.empty() && from.grants.empty() && from.due.empty())
        return false;
    old_chunks.swap(into.chunks);
    into.clear();

    const auto room = [&](std::size_t bytes) {
        return into.bytes + bytes <= max_frame_bytes && into.items() + 2 <= max_frame_items;
    };
    const auto add_call = [&](call& c, std::uint64_t transfer) {
        c.id = ++from.last_id;
        c.place = call_place::sent;
        if (c.affinity != affinity::none) {
            c.sent_before = c.home->sent_to;
            if (!c.parent) c.home->sent_to = from.number;
        }
        if (from.sent.empty() && !c.batched) from.credit.sent(c.id);  // a batch does not come back for one
        from.sent.emplace(c.id, &c);
        if (has_telemetry && c.trail)
            c.trail->attempts.push_back({from.worker, call::clock::now(), {}, {}, c.trail->queued, c.trail->placed});
        if (c.stream) note_input(c);
        into.bytes += c.arguments.size() + c.overhead();
        into.calls.push_back({c.id, from.tools[c.tool_index], transfer, c.self});
    };
    // A piece of the large value whose turn it is; the call itself follows its last piece.
    const auto add_chunk = [&] {
        call& c = *from.transfers.pop_front();
        if (c.offset == 0) c.transfer = ++from.last_transfer;
        const auto left = c.large->size() - c.offset;
        const auto fits = max_frame_bytes - into.bytes - item_overhead - c.overhead();
        const auto size = std::min({left, max_inline_bytes, fits});
        into.chunks.push_back({c.transfer, c.offset, size, c.large});
        into.bytes += size + item_overhead;
        c.offset += size;
        if (size == left) {
            add_call(c, c.transfer);
        } else {
            from.transfers.push_back(c);
        }
    };

    for (const auto t : from.aborts) {
        into.chunks.push_back({t, 0, 0, nullptr});
        into.bytes += item_overhead;
    }
    from.aborts.clear();
    add_answers(from, into);  // tools wait for these
    add_streams(from, into, from.outbox.empty() ? max_frame_bytes : max_frame_bytes / 2);
    constexpr std::size_t least_piece = std::size_t{4} << 10;
    const auto may_begin = [&] { return from.answer_offset == 0 || from.transfers.front()->offset > 0; };
    if (!from.transfers.empty() && may_begin())
        add_chunk();  // large values move on also while small calls fill every frame
    while (call* c = from.outbox.front()) {
        if (!c->large && !room(c->weight)) break;
        from.outbox.erase(*c);
        from.outbox_bytes -= c->weight;
        if (c->large) {
            c->place = call_place::sent;
            from.transfers.push_back(*c);
        } else {
            add_call(*c, 0);
        }
    }
    while (!from.transfers.empty() && may_begin() &&
           room(least_piece + item_overhead + from.transfers.front()->overhead()))
        add_chunk();
    add_streams(from, into, max_frame_bytes);  // of calls that this frame has taken
    from.writing = into.items() > 0;
    if (from.writing) {
        ++counters_.frames_sent;
        counters_.calls_sent += into.calls.size();
        counters_.bytes_sent += into.bytes;
    }
    return from.writing;
}

void switchboard::answer(line& to, std::uint64_t number, std::string finding) {
    consequences todo;
    {
        const std::lock_guard lock(mutex_);
        if (to.closed) return;
        out_answer a{number, 0, std::make_shared<const std::string>(std::move(finding))};
        (a.bytes->size() > max_inline_bytes ? to.large_answers : to.answers).push_back(std::move(a));
        want_flush(to, todo);
    }
    act(todo);
}

/// Of the large ones one is sent at a time, and while it is no large call is begun.
void switchboard::add_answers(line& from, out_frame& into) const {
    const auto room = [&](std::size_t bytes) {
        return into.bytes + bytes + item_overhead <= max_frame_bytes && into.items() + 2 <= max_frame_items;
    };
    while (!from.answers.empty() && room(from.answers.front().bytes->size())) {
        into.bytes += from.answers.front().bytes->size() + item_overhead;
        into.answers.push_back(std::move(from.answers.front()));
        from.answers.pop_front();
    }
    constexpr std::size_t least_piece = std::size_t{4} << 10;
    while (!from.large_answers.empty() && room(least_piece + 2 * item_overhead)) {
        auto& a = from.large_answers.front();
        if (a.transfer == 0) {
            const auto is_open = [](const call* c) { return c->offset > 0; };
            bool any = false;
            for (const call* c = from.transfers.front(); c && !any; c = c->hook.next) any = is_open(c);
            if (any) return;
            a.transfer = ++from.last_transfer;
        }
        const auto left = a.bytes->size() - from.answer_offset;
        const auto size = std::min({left, max_inline_bytes, max_frame_bytes - into.bytes - 2 * item_overhead});
        into.chunks.push_back({a.transfer, from.answer_offset, size, a.bytes});
        into.bytes += size + item_overhead;
        from.answer_offset += size;
        if (size < left) continue;
        into.bytes += item_overhead;
        into.answers.push_back({a.number, a.transfer, nullptr});
        from.answer_offset = 0;
        from.large_answers.pop_front();
    }
}

void switchboard::written(line& to) {
    const std::lock_guard lock(mutex_);
    to.writing = false;
}

void switchboard::received(std::size_t bytes) noexcept {
    frames_received_.fetch_add(1, std::memory_order_relaxed);
    bytes_received_.fetch_add(bytes, std::memory_order_relaxed);
}

/// Unless a frame is being written: the end of that write takes along what is there.
void switchboard::want_flush(const line& l, consequences& todo) {
    if (!l.writing && (todo.flushes.empty() || todo.flushes.back() != l.out)) todo.flushes.push_back(l.out);
}

std::optional<std::string> switchboard::settle(line& from, std::vector<settlement>& replies) {
    std::optional<std::string> breach;
    consequences todo;
    todo.ended.reserve(replies.size());
    {
        const std::lock_guard lock(mutex_);
        if (from.closed) return std::nullopt;
        counters_.replies_received += replies.size();
        // First, since a frame has its small values before all else.
        for (const auto& reply : replies)
            if (!reply.has_run) pass_on_move(from, reply.id);
        std::vector<call*> again;
        std::uint64_t ran = 0;
        std::uint64_t ran_us = 0;
        std::uint64_t expected_us = 0;
        for (auto& reply : replies) {
            const auto held = from.sent.find(reply.id);
            if (held == from.sent.end()) {
                breach = reply.id > from.last_id
                             ? fmt::format("reply to call {}, but only {} were sent", reply.id, from.last_id)
                             : fmt::format("second reply to call {}", reply.id);
                break;
            }
            call& c = *held->second;
            if (reply.recalled && c.recall == recall_state::none) {
                breach = fmt::format("call {} given back, which it was not asked for", reply.id);
                break;
            }
            if (reply.recalled && c.stream && !c.stream->is_untouched()) {
                breach = fmt::format("call {} given back, which has begun", reply.id);
                break;
            }
            from.sent.erase(held);
            if (reply.recalled) {
                given_back(from, c, again, todo);
                continue;
            }
            ++from.ended;
            if (std::exchange(from.credit.stalled, false)) wants_check_ = check_at_ == timing_wheel<call>::never;
            if (reply.has_run) note_reply(tools_[c.tool_index], todo);
            if (has_telemetry && c.trail) c.trail->run_us = std::min(reply.run_us, longest_run_us);
            if (reply.run_us != 0) {
                tools_[c.tool_index].cost.add(reply.run_us);
                if (reply.id == from.credit.probe) from.credit.came_back(reply.run_us, allowed_.credit);
                ++ran;
                ran_us += std::min(reply.run_us, longest_run_us);
                expected_us += c.expected_us;
            }
            count_down(from, todo);
            if (c.answered) ++counters_.late_replies;
            end_by_reply(from, c, std::move(reply.outcome), todo);
        }
        if (ran != 0) from.credit.have_taken(ran, ran_us, expected_us);
        if (!again.empty()) give_back(again, todo);
        pump(todo);
    }
    act(todo);
    return breach;
}

/// The end of a call that has a place on a line, for its worker, and for its caller if that has not come before.
void switchboard::end(call& c, result<value> outcome, consequences& todo) {
    release(c);
    finish(c);
    let_helpers_go(c, todo);
    if (c.answered) {
        todo.buried.push_back(std::move(c.self));
        return;
    }
    ++counter_of(outcome);
    if (!outcome) outcome = tl::unexpected(outcome.error().with_tool(c.tool));
    answer(std::move(c.self), std::move(outcome), todo);
}

/// As `end`; an error tells which worker it came from.
void switchboard::end_by_reply(line& from, call& c, result<value> outcome, consequences& todo) {
    if (outcome && c.session_held)
        if (auto refused = c.session_held->refused()) outcome = tl::unexpected(std::move(*refused));
    if (!outcome && !c.answered) outcome = tl::unexpected(outcome.error().with_worker(from.worker));
    if (c.served && !c.answered) *c.served = {from.worker, c.sent_before != 0 && c.sent_before != from.number};
    end(c, std::move(outcome), todo);
}

/// A call that was sent and not run has not been served: the next one of its session here is where the session moves.
void switchboard::pass_on_move(const line& from, std::uint64_t unserved) {
    const auto held = from.sent.find(unserved);
    if (held == from.sent.end()) return;
    const call& it = *held->second;
    if (it.affinity == affinity::none || it.parent || it.sent_before == from.number) return;
    call* next = nullptr;
    for (const auto& [id, c] : from.sent)
        if (c->home == it.home && !c->parent && id > unserved && (!next || id < next->id)) next = c;
    if (next) next->sent_before = it.sent_before;
    else if (it.home->sent_to == from.number) it.home->sent_to = it.sent_before;
}

/// The worker's end of the call: its place is free.
void switchboard::release(call& c) {
    line& l = *c.on;
    l.in_flight -= c.weight;
    --placed_[class_queue::index_of(c)];
    if (c.priority == priority::interactive && c.stream) --interactive_streams_;
    l.credit.work_us -= c.expected_us;
    if (std::exchange(c.batched, false)) --l.batched;
    if (std::exchange(c.on_main, false)) --l.on_main;
    set_load(l, l.load - 1);
}

/// Python may notice before us that a deadline is over, or be told to stop.
std::uint64_t& switchboard::counter_of(const result<value>& outcome) {
    if (outcome) return counters_.succeeded;
    if (outcome.error() == errc::deadline_exceeded) return counters_.expired;
    if (outcome.error() == errc::cancelled) return counters_.cancelled;
    return counters_.failed;
}

}  // namespace snakepit::detail
