// The switchboard's part about callers: how their calls are let in or refused, and given up.

#include "pool/consequences.hpp"
#include "pool/nearest_names.hpp"
#include "pool/refusals.hpp"
#include "pool/switchboard.hpp"
#include "session/session_use.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <asio/execution/blocking.hpp>
#include <asio/require.hpp>

namespace snakepit::detail {
namespace {

/// Flushes a lane behind the coroutines that are ready now, so that their calls leave in the same frame. Flushes also
/// when the executor drops it unrun, since the line waits for it.
class posted_flush {
public:
    explicit posted_flush(std::shared_ptr<lane> l) : lane_(std::move(l)) {}
    posted_flush(posted_flush&&) = default;
    posted_flush& operator=(posted_flush&&) = delete;
    ~posted_flush() {
        if (lane_) lane_->flush();
    }
    void operator()() { std::exchange(lane_, nullptr)->flush(); }

private:
    std::shared_ptr<lane> lane_;
};

error gave_up(errc why) {
    if (why == errc::would_deadlock)
        return {why,
                "every worker runs a call whose host tool has called the pool and waits, and this is such a call: more "
                "workers, or host tools that do not call the pool, would help"};
    return {why, why == errc::cancelled ? "the caller cancelled the call" : "the call's timeout is over"};
}

}  // namespace

/// The words for a refusal, found without the mutex: near names take their time.
error switchboard::explain(errc refused, const call& c) const {
    const auto& tool = c.tool;
    switch (refused) {
        case errc::pool_stopped: return shut_->with_tool(tool);
        case errc::pool_degraded: {
            const std::lock_guard lock(mutex_);
            // It may have been reopened meanwhile.
            return (closed_for_ ? *closed_for_ : error(refused, "every worker was out of service")).with_tool(tool);
        }
        case errc::not_started: return error(refused, "await pool.start() first").with_tool(tool);
        case errc::unknown_tool: {
            std::vector<std::string> names;
            {
                const std::lock_guard lock(mutex_);
                for (const auto& t : tools_)
                    if (is_offered(t)) names.push_back(t.spec.name);
            }
            return unknown_tool_error(tool, names);
        }
        case errc::queue_full: {
            const std::lock_guard lock(mutex_);
            const auto when = half_of_queue(call::clock::now());
            const error e(refused,
                          fmt::format("{} calls wait already, or those of this priority have their share of that; try "
                                      "again later (half of them will have gone in about {} ms), or raise queue_limit "
                                      "or workers",
                                      allowed_.queue, when.count()));
            return e.with_tool(tool).with_retry_after(when);
        }
        case errc::tool_degraded: {
            const std::lock_guard lock(mutex_);
            return degraded_tool_error(tools_[c.tool_index], call::clock::now());
        }
        case errc::session_busy: return session_busy_error(tool);
        case errc::session_moved: return session_moved_error(tool);
        case errc::bad_arguments:
            return error(refused, c.wants_hedge
                                      ? "hedge_after is for calls that may be run twice: call_options::idempotent "
                                        "or @snakepit.tool(idempotent=True) says so"
                                      : "it yields items, or takes some: use pool.stream")
                .with_tool(tool);
        default: return gave_up(refused).with_tool(tool);
    }
}

std::optional<errc> switchboard::refusal(call& c, call::clock::time_point now) {
    if (shut_) return errc::pool_stopped;
    if (!open_) return errc::not_started;
    if (c.deadline <= now) return errc::deadline_exceeded;
    if (closed_for_) return errc::pool_degraded;
    const auto known = tool_index_.find(c.tool);
    if (known == tool_index_.end()) return errc::unknown_tool;
    c.tool_index = known->second;
    const auto& tool = tools_[c.tool_index];
    if (!is_offered(tool)) return errc::unknown_tool;
    if (c.stream) c.stream->takes_input = tool.takes_input;
    else if (tool.streams) return errc::bad_arguments;
    if (c.wants_hedge && !c.idempotent.value_or(tool.idempotent)) return errc::bad_arguments;
    if (tool.breaker.is_open(allowed_.tools) && !tool.breaker.lets_try(now)) {
        ++counters_.refused;
        return errc::tool_degraded;
    }
    return std::nullopt;
}

void switchboard::submit(call_ptr c) {
    consequences todo;
    std::optional<posted_flush> flush_soon;
    asio::any_io_executor home;
    std::optional<errc> refused;
    const bool has_deadline = c->deadline != call::clock::time_point::max();
    const auto now = call::clock::now();
    const auto hash = c->affinity == affinity::none ? 0 : static_cast<std::uint32_t>(hash_of(c->session));
    c->weight = (c->large ? c->large->size() : c->arguments.size()) + c->overhead();
    begin_trail(*c);
    {
        const std::lock_guard lock(mutex_);
        line* free_line = nullptr;
        refused = refusal(*c, now);
        if (!refused && c->affinity != affinity::none) {
            c->home = &homes_.hold(c->session, hash);
            refused = refusal_at_home(*c);
        }
        if (!refused) {
            if (c->parent) deadlocks_->began(*c, *this);  // not refused below; first of all its own worker waits for it
            queue_.note(*c);
            if (c->priority == priority::interactive) note_interactive(now);
            free_line = find_line(*c, c->parent ? nullptr : queue_.ahead_of(*c, kept_off()));
            if (!free_line && c->affinity == affinity::strict_fail_fast && home_of(*c) && is_strict(*c)) {
                refused = errc::session_busy;
            } else if (!free_line && !c->parent && !queue_.has_room(*c, allowed_.queue) && !make_room(*c, now, todo)) {
                ++counters_.refused;
                refused = errc::queue_full;
            }
        }
        if (refused) {
            c->answered = true;
            finish(*c);
        } else {
            c->ticket = ++counters_.submitted;
            if (auto& breaker = tools_[c->tool_index].breaker; breaker.is_open(allowed_.tools))
                breaker.try_with(allowed_.tools, now, c->ticket);
            retries_.earn();
            c->self = c;
            if (has_deadline) {
                deadlines_.insert(*c, tick_of(c->deadline));
                if (c->due_tick < alarm_at_) {
                    alarm_at_ = c->due_tick;
                    todo.alarm = true;
                }
            }
            if (!free_line && is_strict(*c) && home_of(*c) && c->home->queued == 0) {
                c->queued_at = now;
                await_home(*c, *home_of(*c));
            } else if (!free_line) {
                waits_in_queue(*c, now);
                queue_.join(*c);
                warmer_.joined(*c, *queue_.front_beside(*c));
                note_lateness(c->priority, now);
                if (tell_of_waiting_) todo.tell_of_waiting = std::exchange(tell_of_waiting_, nullptr);
            } else {
                line& l = *free_line;
                if (queue_.waiting() != 0) queue_.served(*c);
                put_on(l, *c);
                if (l.load > l.width && tell_of_waiting_)
                    todo.tell_of_waiting = std::exchange(tell_of_waiting_, nullptr);
                if (l.outbox_bytes >= eager_flush_bytes || l.outbox.size() >= eager_flush_items) {
                    want_flush(l, todo);
                } else if (!l.writing && !(l.flush_posted && l.flush_posted->done.executor() == c->done.executor())) {
                    // Another executor's flush is not waited for: that one may be busy, or may not run at all.
                    l.flush_posted = c.get();
                    flush_soon.emplace(l.out);
                    home = asio::require(c->done.executor(), asio::execution::blocking.never);
                }
            }
            if (wants_check_) arm_check(now, todo);
            if (c->parent) todo.deadlocks = true;
        }
    }
    if (refused) {
        c->outcome = tl::unexpected(explain(*refused, *c));
        if (has_telemetry && c->trail) todo.trails.push_back({c, std::move(c->trail)});
        post(std::move(c), todo);
    }
    if (flush_soon) home.execute(std::move(*flush_soon));
    act(todo);
}

void switchboard::give_up(call& c, errc why) {
    consequences todo;
    {
        const std::lock_guard lock(mutex_);
        give_up_locked(c, why, todo);
    }
    act(todo);
}

void switchboard::give_up(std::vector<call_ptr> all, errc why) {
    consequences todo;
    {
        const std::lock_guard lock(mutex_);
        // Those without a worker first; those of one worker go into one message.
        std::sort(all.begin(), all.end(), [](const call_ptr& a, const call_ptr& b) { return a->on < b->on; });
        for (const auto& c : all) give_up_locked(*c, why, todo);
    }
    act(todo);
}

void switchboard::give_up_locked(call& c, errc why, consequences& todo) {
    if (c.answered || c.place == call_place::outside) return;
    ++(why == errc::cancelled           ? counters_.cancelled
       : why == errc::deadline_exceeded ? counters_.expired
                                        : counters_.failed);
    const auto reason = tl::unexpected(gave_up(why).with_tool(c.tool));
    if (c.place == call_place::sent && c.id != 0) {  // its place is free when the worker says so
        c.given_up_at = call::clock::now();
        let_helpers_go(c, reason.value(), todo);
        answer(c.self, reason, todo);
        if (todo.cancels.empty() || todo.cancels.back().at != c.on->out) todo.cancels.push_back({c.on->out, {}});
        todo.cancels.back().ids.push_back(c.id);
        if (c.stream) add_credit(c, 0, todo);  // a tool that waits for credit or input hears of nothing else
        return;
    }
    answer(c.self, reason, todo);
    if (c.place == call_place::queued) {
        leave_queue(c);
    } else if (c.place == call_place::waiting) {
        stop_waiting(c);
    } else {
        take_off(c, todo);
        release(c);
    }
    finish(c);
    c.self.reset();
    pump(todo);  // its place is free; and at the head of the queue a large call may have held up small ones
}

/// A call that no frame has taken whole is not sent.
void switchboard::take_off(call& c, consequences& todo) {
    line& l = *c.on;
    if (c.place == call_place::outbox) {
        l.outbox.erase(c);
        l.outbox_bytes -= c.weight;
        if (l.flush_posted == &c) l.flush_posted = nullptr;
        return;
    }
    l.transfers.erase(c);
    if (c.transfer == 0) return;
    l.aborts.push_back(c.transfer);
    want_flush(l, todo);
}

void switchboard::expire(call::clock::time_point now) {
    consequences todo;
    {
        const std::lock_guard lock(mutex_);
        const auto tick = std::chrono::floor<std::chrono::milliseconds>(now - epoch_).count();
        deadlines_.advance(static_cast<std::uint64_t>(tick),
                           [&](call& c) { give_up_locked(c, errc::deadline_exceeded, todo); });
        if (check_at_ <= static_cast<std::uint64_t>(tick)) check_lines(now, todo);
        alarm_at_ = std::min(deadlines_.next(), check_at_);
        todo.alarm = true;
    }
    act(todo);
}

}  // namespace snakepit::detail
