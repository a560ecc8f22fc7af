// The switchboard's part about which worker a call goes to, and in which order those that wait do.

#include "pool/consequences.hpp"
#include "pool/refusals.hpp"
#include "pool/switchboard.hpp"

#include <algorithm>
#include <bit>

namespace snakepit::detail {

/// It has the tool, time for the call and room for the arguments. Not behind a call that waits for one of its own: that
/// might be this one.
bool switchboard::takes(const line& l, const call& c) const {
    return l.has(c.tool_index) && (l.in_flight == 0 || l.in_flight + c.weight <= allowed_.in_flight) &&
           has_credit(l, c) && !(c.parent && l.load > 0 && waits_for_nested(l));
}

/// The least loaded line that takes it.
line* switchboard::pick(const call& c) {
    const bool for_main = tools_[c.tool_index].main_thread;  // then rather where that is idle
    line* other = nullptr;
    for (std::size_t word = 0; word < bucket_bits_.size(); ++word) {
        for (auto bits = bucket_bits_[word]; bits != 0; bits &= bits - 1) {
            auto& bucket = buckets_[word * 64 + static_cast<std::size_t>(std::countr_zero(bits))];
            for (line* l = bucket.front(); l; l = l->bucket_hook.next)
                if (takes(*l, c)) {
                    if (!for_main || l->on_main == 0) return l;
                    if (!other) other = l;
                }
        }
    }
    return other;
}

/// Null: it has none, or that has gone for good.
line* switchboard::line_of(const session_home& h) const {
    const auto found = by_number_.find(h.line);
    return found == by_number_.end() ? nullptr : found->second;
}

/// The line that its session belongs to, unless the worker's module does not have the tool.
line* switchboard::home_of(const call& c) const {
    line* const l = line_of(*c.home);
    return l && l->has(c.tool_index) ? l : nullptr;
}

/// The line that it may go to at once.
/// @param ahead  the one of those in the queue whose turn comes before: it is not overtaken when it could go there
line* switchboard::find_line(const call& c, const call* ahead) {
    if (is_kept_off(c)) return nullptr;
    if (c.affinity != affinity::none) {
        line* const home = home_of(c);
        const bool is_free = home && home->bucket_hook.linked && takes(*home, c);
        const bool is_its_turn =
            is_free && (c.parent || (home->turns.empty() && !(ahead && wants(*ahead, *home)) && c.home->queued == 0));
        if (is_its_turn) return home;
        if (home && is_strict(c)) return nullptr;
    }
    return ahead ? nullptr : pick(c);
}

/// Why a strict call is not to go on elsewhere.
std::optional<errc> switchboard::refusal_at_home(const call& c) const {
    if (allowed_.strict_calls == when_worker_goes::migrate || !is_strict(c)) return std::nullopt;
    if (c.home->line == 0 || line_of(*c.home)) return std::nullopt;
    c.home->line = 0;
    return errc::session_moved;
}

/// It would go there if there was room.
bool switchboard::wants(const call& c, const line& l) const {
    if (!l.has(c.tool_index) || (c.parent && l.load > 0 && waits_for_nested(l))) return false;
    const line* const home = is_strict(c) ? home_of(c) : nullptr;
    return !home || home == &l;
}

/// Calls of one session wait by ticket, the sessions of a line take turns: one that floods its worker holds up itself.
void switchboard::await_home(call& c, line& home) {
    c.place = call_place::waiting;
    auto& h = *c.home;
    call* before = nullptr;
    if (h.waiting.empty()) {
        if (home.turns.empty() && home.bucket_hook.linked) waited_for_.push_back(home);
        home.turns.push_back(h);
    } else if (h.waiting.back()->ticket > c.ticket) {  // it comes back
        before = h.waiting.front();
        while (before->ticket < c.ticket) before = before->hook.next;
    }
    h.waiting.insert(before, c);
    queue_.waits_elsewhere(c);
}

void switchboard::stop_waiting(call& c) {
    auto& h = *c.home;
    h.waiting.erase(c);
    queue_.left_elsewhere(c);
    if (!h.waiting.empty()) return;
    line& l = *line_of(h);
    l.turns.erase(h);
    if (l.turns.empty() && l.waited_for_hook.linked) waited_for_.erase(l);
}

void switchboard::put_on(line& l, call& c) {
    // A session stays while calls wait for its line; and what a host tool calls does not move it.
    if (c.affinity != affinity::none && c.home->waiting.empty() && (!c.parent || !line_of(*c.home)))
        c.home->line = l.number;
    ++counters_.in_flight;
    if (has_telemetry && c.trail) c.trail->has_place();
    c.place = call_place::outbox;
    c.on = &l;
    l.outbox.push_back(c);
    l.outbox_bytes += c.weight;
    l.in_flight += c.weight;
    ++placed_[class_queue::index_of(c)];
    if (c.priority == priority::interactive && c.stream) ++interactive_streams_;
    c.expected_us = cost_of(c);
    l.credit.work_us += c.expected_us;
    c.batched = l.at_once > 1 && tools_[c.tool_index].batch > 1;
    if (c.batched) ++l.batched;
    c.on_main = l.width > 1 && tools_[c.tool_index].main_thread;
    if (c.on_main) ++l.on_main;
    set_load(l, l.load + 1);
    if ((l.load > l.width || l.on_main > 1) && check_at_ == timing_wheel<call>::never &&
        allowed_.credit.stall.count() > 0)
        wants_check_ = true;
}

/// To be put into the queue.
void switchboard::waits_in_queue(call& c, call::clock::time_point now) {
    c.place = call_place::queued;
    c.queued_at = now;
    if (is_strict(c)) ++c.home->queued;
}

void switchboard::leave_queue(call& c) {
    queue_.leave(c);
    if (is_strict(c)) --c.home->queued;
}

void switchboard::pump(consequences& todo) {
    std::optional<call::clock::time_point> now;  // the same for all: a clock is read once
    do {
        for (line* l = waited_for_.front(); l;) {
            line* const next = l->waited_for_hook.next;
            serve_waiting(*l, now, todo);
            l = next;
        }
    } while (serve_queue(now, todo));
    if (wants_check_) arm_check(now ? *now : call::clock::now(), todo);
    if (deadlocks_->has_calls() && stands_still()) todo.deadlocks = true;
}

/// A line's places go to the sessions whose calls wait for it, turn by turn, before calls that were let in later.
void switchboard::serve_waiting(line& l, std::optional<call::clock::time_point>& now, consequences& todo) {
    while (l.waited_for_hook.linked) {
        session_home& h = *l.turns.front();
        call& c = *h.waiting.front();
        if (fail_if_degraded(c, now, todo)) continue;
        const call* head = next_in_queue(kept_off());
        if (!takes(l, c) || (head && queue_.goes_before(*head, c) && wants(*head, l))) return;
        l.turns.erase(h);
        l.turns.push_back(h);
        stop_waiting(c);
        queue_.served(c);
        note_wait(c, now);
        put_on(l, c);
        want_flush(l, todo);
    }
}

/// The call whose turn it is goes where it can.
/// @return  whether one has left
bool switchboard::serve_queue(std::optional<call::clock::time_point>& now, consequences& todo) {
    call* const c = next_in_queue();
    if (!c) return false;
    if (serve(*c, now, todo)) return true;
    if (!is_kept_off(*c)) return false;
    call* const next = next_in_queue(class_queue::only(*c));
    if (!next || !serve(*next, now, todo)) return false;
    queue_.passed_over(*c);
    return true;
}

bool switchboard::serve(call& c, std::optional<call::clock::time_point>& now, consequences& todo) {
    if (fail_if_degraded(c, now, todo)) return true;
    line* const l = find_line(c, nullptr);
    line* const home = !l && is_strict(c) ? home_of(c) : nullptr;
    if (!l && !home && is_offered(tools_[c.tool_index])) return false;
    leave_queue(c);
    queue_warmer::turn_has_come(c);
    if (c.affinity != affinity::none && refusal_at_home(c)) {
        fail_waiting(c, session_moved_error(c.tool), todo);
    } else if (l) {
        queue_.served(c);
        note_wait(c, now);
        note_lateness(c.priority, *now);
        put_on(*l, c);
        want_flush(*l, todo);
    } else if (home && c.affinity == affinity::strict_fail_fast) {
        fail_waiting(c, session_busy_error(c.tool), todo);
    } else if (home) {
        await_home(c, *home);
    } else {
        const error why(errc::unknown_tool, "gone: the module has changed since the pool was started");
        fail_waiting(c, why.with_tool(c.tool), todo);
    }
    return true;
}

/// Its tool has ended too many workers; it has not, and waits, in the queue or for its session's line.
bool switchboard::fail_if_degraded(call& c, std::optional<call::clock::time_point>& now, consequences& todo) {
    const auto& tool = tools_[c.tool_index];
    if (!tool.breaker.stops(allowed_.tools, c.ticket)) return false;
    if (!now) now = call::clock::now();
    if (c.place == call_place::queued) leave_queue(c);
    else stop_waiting(c);
    fail_waiting(c, degraded_tool_error(tool, *now), todo);
    return true;
}

void switchboard::note_wait(const call& c, std::optional<call::clock::time_point>& now) {
    if (!now) now = call::clock::now();
    counters_.waits.add(std::chrono::floor<std::chrono::microseconds>(*now - c.queued_at));
}

void switchboard::set_load(line& l, int load) {
    leave_bucket(l);
    l.load = load;
    enter_bucket(l);
}

void switchboard::enter_bucket(line& l) {
    if (!may_have_more(l)) return;
    free_places_ += std::max(0, l.width - l.load);
    const auto i = static_cast<std::size_t>(l.load);
    // The last one used comes first: its memory is warm. One that is slower than the others comes last.
    if (l.credit.is_slow()) buckets_[i].push_back(l);
    else buckets_[i].push_front(l);
    if (!l.turns.empty()) waited_for_.push_back(l);
    bucket_bits_[i / 64] |= std::uint64_t{1} << (i % 64);
}

void switchboard::leave_bucket(line& l) {
    if (!l.bucket_hook.linked) return;
    if (l.waited_for_hook.linked) waited_for_.erase(l);
    free_places_ -= std::max(0, l.width - l.load);
    const auto i = static_cast<std::size_t>(l.load);
    buckets_[i].erase(l);
    if (buckets_[i].empty()) bucket_bits_[i / 64] &= ~(std::uint64_t{1} << (i % 64));
}

}  // namespace snakepit::detail
