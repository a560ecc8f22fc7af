#include "pool/switchboard.hpp"

#include "pool/completions.hpp"
#include "pool/consequences.hpp"
#include "pool/helper.hpp"
#include "pool/limits.hpp"
#include "pool/nearest_names.hpp"
#include "pool/refusals.hpp"
#include "pool/tool_flags.hpp"
#include "session/session_use.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <asio/execution/blocking.hpp>
#include <asio/require.hpp>
#include <bit>

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

constexpr std::uint64_t longest_run_us = 1'000'000'000'000;  // what a worker says may be anything

error moved_error(const std::string& tool) {
    const error e(errc::session_moved,
                  "the session's worker has gone, and what Python kept of the session; its next call is given another "
                  "worker");
    return e.with_tool(tool);
}

error busy_error(const std::string& tool) {
    const error e(errc::session_busy, "the session's worker has no room; try again later, or use affinity::strict");
    return e.with_tool(tool);
}

error gave_up(errc why) {
    if (why == errc::would_deadlock)
        return {why,
                "every worker runs a call whose host tool has called the pool and waits, and this is such a call: more "
                "workers, or host tools that do not call the pool, would help"};
    return {why, why == errc::cancelled ? "the caller cancelled the call" : "the call's timeout is over"};
}

}  // namespace

bool last_words::was_running(std::uint64_t id) const {
    if (running) return std::find(running->begin(), running->end(), id) != running->end();
    return id > done && id <= (begun == unknown ? done + 1 : begun);
}

bool last_words::was_waiting(std::uint64_t id) const {
    return std::find(waiting.begin(), waiting.end(), id) != waiting.end();
}
bool last_words::was_done(std::uint64_t id) const { return running ? id <= begun && !was_running(id) : id <= done; }

switchboard::switchboard(limits allowed, alarm set_alarm, std::shared_ptr<deadlock_watch> deadlocks, audience told)
    : allowed_(allowed),
      set_alarm_(std::move(set_alarm)),
      epoch_(call::clock::now()),
      deadlocks_(std::move(deadlocks)),
      told_(std::move(told)),
      buckets_(static_cast<std::size_t>(allowed.calls_per_line)),
      bucket_bits_((buckets_.size() + 63) / 64),
      homes_(allowed.sessions),
      warmer_(allowed.queue) {}

switchboard::~switchboard() {
    const error why(errc::pool_stopped, "the pool was destroyed");
    shut(why);
    while (line* l = lines_.front()) disconnect(*l, why);
}

std::uint64_t switchboard::tick_of(call::clock::time_point t) const {
    constexpr call::clock::duration furthest = std::chrono::hours(24 * 365 * 100);  // rounding up never overflows
    return static_cast<std::uint64_t>(
        std::chrono::ceil<std::chrono::milliseconds>(std::min(t - epoch_, furthest)).count());
}

// ---- callers

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
        case errc::session_busy: return busy_error(tool);
        case errc::session_moved: return moved_error(tool);
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

// ---- lines

std::shared_ptr<line> switchboard::connect(std::string worker, const std::vector<tool_spec>& tools,
                                           std::shared_ptr<lane> out, std::uint64_t max_calls, int width) {
    auto l = std::make_shared<line>();
    l->left = max_calls;
    l->width = width;
    l->credit.horizon_us = allowed_.credit.least_horizon;
    consequences todo;
    {
        const std::lock_guard lock(mutex_);
        l->worker = std::move(worker);
        l->out = std::move(out);
        for (std::uint32_t i = 0; i < tools.size(); ++i) {
            const auto [known, is_new] = tool_index_.emplace(tools[i].name, static_cast<std::uint32_t>(tools_.size()));
            if (is_new) tools_.emplace_back();
            tools_[known->second].spec = tools[i];
            const auto& flags = tools[i].flags;
            tools_[known->second].idempotent = std::find(flags.begin(), flags.end(), "idempotent") != flags.end();
            const auto is_input = [](const std::string& flag) { return flag.starts_with("input:"); };
            tools_[known->second].takes_input = std::any_of(flags.begin(), flags.end(), is_input);
            tools_[known->second].streams =
                tools_[known->second].takes_input || std::find(flags.begin(), flags.end(), "stream") != flags.end();
            ++tools_[known->second].lines;
            tools_[known->second].batch = batch_of(flags);
            tools_[known->second].main_thread = std::find(flags.begin(), flags.end(), "main_thread") != flags.end();
            if (width == 1) l->at_once = std::max(l->at_once, batch_of(flags));  // others run calls one by one
            if (l->tools.size() <= known->second) l->tools.resize(known->second + 1, line::no_such_tool);
            l->tools[known->second] = i;
        }
        l->self = l;
        l->board = this;
        l->number = ++last_number_;
        by_number_.emplace(l->number, l.get());
        lines_.push_back(*l);
        l->routable = true;
        enter_bucket(*l);
        look_at_stalled_lines();
        pump(todo);
    }
    act(todo);
    return l;
}

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

void switchboard::written(line& to) {
    const std::lock_guard lock(mutex_);
    to.writing = false;
}

void switchboard::received(std::size_t bytes) noexcept {
    frames_received_.fetch_add(1, std::memory_order_relaxed);
    bytes_received_.fetch_add(bytes, std::memory_order_relaxed);
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

// ---- running calls

switchboard::asker switchboard::held_by(const line& l, std::uint64_t id) const {
    const std::lock_guard lock(mutex_);
    asker found{nullptr, id > 0 && id <= l.last_id};
    if (const auto held = l.sent.find(id); held != l.sent.end()) found.who = held->second->self;
    return found;
}

bool switchboard::add_helper(call& of, std::shared_ptr<helper> h) {
    const std::lock_guard lock(mutex_);
    if (of.answered || of.place != call_place::sent) return false;
    of.helpers.push_back(std::move(h));
    return true;
}

void switchboard::remove_helper(call& of, const helper& h) {
    std::shared_ptr<helper> kept;  // freed without the mutex
    const std::lock_guard lock(mutex_);
    const auto at =
        std::find_if(of.helpers.begin(), of.helpers.end(), [&](const auto& each) { return each.get() == &h; });
    if (at == of.helpers.end()) return;
    kept = std::move(*at);
    of.helpers.erase(at);
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

// ---- lines again

std::uint64_t switchboard::suspend(line& l) {
    consequences todo;
    std::uint64_t last = 0;
    {
        const std::lock_guard lock(mutex_);
        leave_bucket(l);
        l.routable = false;
        last = l.last_id;
        give_back_unsent(l, todo);
        pump(todo);
    }
    act(todo);
    return last;
}

std::uint64_t switchboard::dismiss(line& l) {
    consequences todo;
    std::uint64_t last = 0;
    {
        const std::lock_guard lock(mutex_);
        last = l.last_id;
        dismiss_locked(l, todo);
        pump(todo);
    }
    act(todo);
    return last;
}

/// What waits for it moves, or fails, before anything else happens.
void switchboard::dismiss_locked(line& l, consequences& todo) {
    leave_bucket(l);
    l.routable = false;
    if (!std::exchange(l.gone, true)) {
        by_number_.erase(l.number);
        std::vector<call*> moving;
        while (session_home* h = l.turns.pop_front()) {
            while (call* c = h->waiting.pop_front()) {
                queue_.left_elsewhere(*c);
                moving.push_back(c);
            }
        }
        const auto by_ticket = [](const call* a, const call* b) { return a->ticket < b->ticket; };
        std::sort(moving.begin(), moving.end(), by_ticket);
        class_queue::merger queue(queue_);
        for (call* c : moving) {
            if (allowed_.strict_calls == when_worker_goes::fail) {
                c->home->line = 0;
                fail_waiting(*c, moved_error(c->tool), todo);
                continue;
            }
            waits_in_queue(*c, c->queued_at);
            queue.put(*c);
        }
    }
    give_back_unsent(l, todo);
}

void switchboard::retire(line& l) {
    dismiss(l);
    const std::lock_guard lock(mutex_);
    l.left = static_cast<std::uint64_t>(l.load);
}

void switchboard::resume(line& l) {
    consequences todo;
    {
        const std::lock_guard lock(mutex_);
        if (l.routable || l.gone) return;
        l.routable = true;
        enter_bucket(l);
        look_at_stalled_lines();
        pump(todo);
    }
    act(todo);
}

void switchboard::disconnect(line& l, const error& why, last_words said) {
    consequences todo;
    todo.ended.reserve(said.replies.size());
    std::shared_ptr<line> self;
    std::shared_ptr<lane> out;  // line and lane hold each other until here
    {
        const std::lock_guard lock(mutex_);
        if (l.closed) return;
        self = std::move(l.self);
        out = std::move(l.out);
        lines_.erase(l);
        for (std::uint32_t i = 0; i < l.tools.size(); ++i) tools_[i].lines -= l.has(i) ? 1 : 0;
        l.closed = true;
        l.answers.clear();
        l.large_answers.clear();
        l.grants.clear();
        l.due.clear();
        dismiss_locked(l, todo);
        for (auto& reply : said.replies) {
            if (const auto held = l.sent.find(reply.id); held != l.sent.end()) {
                call& c = *held->second;
                if (reply.recalled) {
                    if (c.recall == recall_state::asked) c.recall = recall_state::given;
                    continue;
                }
                if (c.stream) continue;  // nobody knows whether the items before it have come
                l.sent.erase(held);
                if (!c.answered) ++counters_.recovered;
                end_by_reply(l, c, std::move(reply.outcome), todo);
            }
        }
        std::vector<call*> lost;
        for (const auto& [id, c] : l.sent) lost.push_back(c);
        l.sent.clear();
        std::sort(lost.begin(), lost.end(), [](const call* a, const call* b) { return a->id < b->id; });
        // Without anything said: it begins them in the order of their ids.
        if (!lost.empty() && said.begun == last_words::unknown) {
            said.done = lost.front()->id - 1;
            if (l.width > 1) said.running.emplace();
            for (std::size_t i = 0; said.running && i < lost.size() && i < static_cast<std::size_t>(l.width); ++i)
                said.running->push_back(lost[i]->id);
        }
        if (!shut_) note_death(lost, why, said, todo);
        std::vector<call*> again;
        for (call* c : lost) {
            if (c->answered) {
                end(*c, {}, todo);
            } else if (auto failed = end_of(*c, why, said)) {
                end(*c, tl::unexpected(std::move(*failed)), todo);
            } else {
                again.push_back(c);
            }
        }
        give_back(again, todo);
        pump(todo);
    }
    act(todo);
}

void switchboard::end_queue(const error& why, consequences& todo) {
    while (call* c = queue_.front()) {
        leave_queue(*c);
        fail_waiting(*c, why.with_tool(c->tool), todo);
    }
    for (line* l = lines_.front(); l; l = l->all_hook.next) {
        while (session_home* h = l->turns.front()) {
            call& c = *h->waiting.front();
            stop_waiting(c);
            fail_waiting(c, why.with_tool(c.tool), todo);
        }
    }
}

/// The end of a call that waited and has left where it did.
void switchboard::fail_waiting(call& c, const error& why, consequences& todo) {
    ++counters_.failed;
    finish(c);
    answer(std::move(c.self), tl::unexpected(why), todo);
}

/// It is neither in the queue nor at a worker any more.
void switchboard::finish(call& c) {
    c.place = call_place::ended;
    if (c.affinity != affinity::none && c.home) homes_.release(*std::exchange(c.home, nullptr));
}

/// Calls that no frame has taken whole go to others; nobody will ever know.
void switchboard::give_back_unsent(line& l, consequences& todo) {
    std::vector<call*> unsent;
    while (call* c = l.transfers.pop_front()) {
        if (c->transfer != 0) l.aborts.push_back(c->transfer);
        unsent.push_back(c);
    }
    if (!l.aborts.empty() && !l.closed) want_flush(l, todo);
    while (call* c = l.outbox.pop_front()) unsent.push_back(c);
    l.outbox_bytes = 0;
    l.flush_posted = nullptr;
    give_back(unsent, todo);
}

/// Into the queue, where they were let in before all who wait; strict ones wait for their session's line if that comes
/// back.
void switchboard::give_back(std::vector<call*>& calls, consequences& todo) {
    std::sort(calls.begin(), calls.end(), [](const call* a, const call* b) { return a->ticket < b->ticket; });
    const auto& refused = shut_ ? shut_ : closed_for_;
    class_queue::merger queue(queue_);
    const auto now = call::clock::now();
    for (call* c : calls) {
        if (refused) {
            end(*c, tl::unexpected(*refused), todo);
            continue;
        }
        line* const home = is_strict(*c) ? line_of(*c->home) : nullptr;
        if (home && c->affinity == affinity::strict_fail_fast) {
            end(*c, tl::unexpected(busy_error(c->tool)), todo);
            continue;
        }
        if (is_strict(*c) && !home && allowed_.strict_calls == when_worker_goes::fail) {
            c->home->line = 0;
            end(*c, tl::unexpected(moved_error(c->tool)), todo);
            continue;
        }
        --counters_.in_flight;
        if (has_telemetry && c->trail)
            note_attempt_over(*c, c->recall == recall_state::none ? "worker_lost" : "recalled");
        release(*c);
        let_helpers_go(*c, todo);
        // After a recall `pass_on_move` has seen to that, and to later calls of the session, which stay.
        if (c->home && c->id != 0 && c->on->closed && c->home->sent_to == c->on->number)
            c->home->sent_to = c->sent_before;
        // What a host tool calls may hold the session together with the call that it works for, which goes on.
        const bool holds_alone = c->session_held && !(c->parent && c->parent->session_held == c->session_held);
        if (holds_alone && c->id != 0) c->session_held->begin_again();
        if (c->stream) c->stream->begin_again();
        c->on = nullptr;
        c->id = 0;
        c->transfer = 0;
        c->offset = 0;
        c->recall = recall_state::none;
        if (home && home->has(c->tool_index)) {
            c->queued_at = now;
            await_home(*c, *home);
            continue;
        }
        waits_in_queue(*c, now);
        queue.put(*c);
        if (tell_of_waiting_) todo.tell_of_waiting = std::exchange(tell_of_waiting_, nullptr);
    }
}

/// Whether a call that a dead worker held is over, and how; else it is to be run again.
std::optional<error> switchboard::end_of(call& c, const error& why, const last_words& said) {
    const auto failed = [&](errc code, std::string words) {
        const error e(code, std::move(words));
        return why.exit() ? e.with_worker(why.worker()).with_exit(*why.exit()) : e;
    };
    const bool was_touched = c.stream && !c.stream->is_untouched();
    const bool was_begun =
        was_touched || (c.id <= said.begun && c.recall != recall_state::given && !said.was_waiting(c.id));
    if (const auto& refused = shut_ ? shut_ : closed_for_) return was_begun ? why : *refused;
    const bool stays = is_strict(c) && allowed_.strict_calls == when_worker_goes::fail;
    const auto left_behind = [&] {
        if (!line_of(*c.home)) c.home->line = 0;
        return failed(errc::session_moved, moved_error(c.tool).message());
    };
    if (!was_begun) {
        if (stays) return left_behind();
        ++counters_.moved;
        return std::nullopt;
    }
    if (said.was_running(c.id) && std::exchange(c.was_fatal, true))
        return failed(errc::poison_call,
                      "two workers in a row ended while they ran this call; the second: " + why.message());
    if (was_touched || !c.idempotent.value_or(tools_[c.tool_index].idempotent))
        return said.was_done(c.id) && said.begun != last_words::unknown
                   ? failed(errc::worker_lost, why.message() + "; this call was done, but its reply had not left")
                   : why;
    if (stays) return left_behind();
    if (!retries_.take())
        return failed(errc::worker_lost, why.message() + "; not run again: the retry budget is spent");
    ++counters_.retried;
    return std::nullopt;
}

std::vector<held_call> switchboard::held(const line& l) const {
    std::vector<held_call> found;
    {
        const std::lock_guard lock(mutex_);
        found.reserve(l.sent.size());
        for (const auto& [id, c] : l.sent) found.push_back({id, c->tool});
    }
    std::sort(found.begin(), found.end(), [](const held_call& a, const held_call& b) { return a.id < b.id; });
    return found;
}

std::uint64_t switchboard::last_sent(const line& l) const {
    const std::lock_guard lock(mutex_);
    return l.last_id;
}

std::size_t switchboard::load(const line& l) const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(l.load);
}

occupation switchboard::occupation_of(const line& l, std::uint64_t begun) const {
    const std::lock_guard lock(mutex_);
    occupation found;
    for (const auto& [id, c] : l.sent) found.has_unwanted = found.has_unwanted || c->answered;
    for (const call* c : running_on(l)) {
        if (found.id == 0) {
            found.id = found.last_id = c->id;
            found.tool = c->tool;
        }
        if (!c->answered) found.in_live_call = true;
        else found.asked_at = std::min(found.asked_at.value_or(c->given_up_at), c->given_up_at);
    }
    if (l.at_once == 1 || begun > l.last_id || begun <= found.id) return found;
    found.last_id = begun;  // a batch: it is asked to end when nobody wants any of it
    for (const auto& [id, c] : l.sent) {
        if (id > begun) continue;
        if (!c->answered) found.in_live_call = true;
        else found.asked_at = std::max(found.asked_at.value_or(c->given_up_at), c->given_up_at);
    }
    if (found.in_live_call) found.asked_at.reset();
    return found;
}

std::string switchboard::tool_of(const line& l, std::uint64_t id) const {
    const std::lock_guard lock(mutex_);
    const auto held = l.sent.find(id);
    return held == l.sent.end() ? std::string() : held->second->tool;
}

int switchboard::at_once(const line& l) const {
    const std::lock_guard lock(mutex_);
    return l.at_once;
}

bool switchboard::wants_any(const line& l, const std::vector<std::uint64_t>& ids) const {
    const std::lock_guard lock(mutex_);
    return std::any_of(ids.begin(), ids.end(), [&](std::uint64_t id) {
        const auto held = l.sent.find(id);
        return held != l.sent.end() && !held->second->answered;
    });
}

std::uint64_t switchboard::ended(const line& l) const {
    const std::lock_guard lock(mutex_);
    return l.ended;
}

// ---- the whole

void switchboard::open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
}

void switchboard::shut(const error& why) {
    consequences todo;
    {
        const std::lock_guard lock(mutex_);
        if (shut_) return;
        shut_ = why;
        end_queue(why, todo);
    }
    act(todo);
}

void switchboard::close_for(const error& why) {
    consequences todo;
    {
        const std::lock_guard lock(mutex_);
        closed_for_ = why;
        end_queue(why, todo);
    }
    act(todo);
}

void switchboard::reopen() {
    const std::lock_guard lock(mutex_);
    closed_for_.reset();
}

bool switchboard::is_open() const {
    const std::lock_guard lock(mutex_);
    return open_ && !shut_;
}

bool switchboard::offers(const std::string& tool) const {
    const std::lock_guard lock(mutex_);
    const auto known = tool_index_.find(tool);
    return known != tool_index_.end() && is_offered(tools_[known->second]);
}

bool switchboard::serves(const std::string& tool) const {
    const std::lock_guard lock(mutex_);
    const auto known = tool_index_.find(tool);
    return known != tool_index_.end() && tools_[known->second].lines > 0;
}

std::vector<tool_spec> switchboard::tools() const {
    const std::lock_guard lock(mutex_);
    std::vector<tool_spec> all;
    if (!open_) return all;
    for (const auto& t : tools_)
        if (is_offered(t)) all.push_back(t.spec);
    return all;
}

void switchboard::tell_of_waiting(std::function<void()> tell) {
    {
        const std::lock_guard lock(mutex_);
        bool waits = !queue_.empty();
        for (const line* l = lines_.front(); l && !waits; l = l->all_hook.next)
            waits = l->routable && l->load > l->width;
        tell_of_waiting_.swap(tell);  // what was set before is freed without the mutex
        if (!waits) return;
        tell = std::exchange(tell_of_waiting_, nullptr);
    }
    if (tell) tell();
}

/// A worker begins calls in the order in which they came to it: of those that it held at the look before, as many as
/// have ended since and those that it runs have begun.
backlog switchboard::look(bool remember) {
    const std::lock_guard lock(mutex_);
    backlog found{queue_.size(), false};
    for (const auto each : {priority::interactive, priority::normal, priority::batch}) {
        const call* head = queue_.front_of(each);
        found.too_long = found.too_long || (head && head->ticket <= seen_ticket_);
    }
    const bool one_is_kept = kept_off() != 0;
    bool is_free = false;
    for (line* l = lines_.front(); l; l = l->all_hook.next) {
        if (l->routable) {
            is_free = is_free || (l->load < l->width && !one_is_kept);
            const auto run = together(*l);
            const auto load = static_cast<std::size_t>(l->load);
            if (load > run) found.waiting += load - run;
            const auto begun = l->ended - l->seen_ended + run;
            found.too_long = found.too_long || begun < static_cast<std::uint64_t>(l->seen_load);
        }
        if (!remember) continue;
        l->seen_ended = l->ended;
        l->seen_load = l->load;
    }
    found.too_long = found.too_long && !is_free;
    if (remember) seen_ticket_ = counters_.submitted;
    return found;
}

void switchboard::expect_workers(std::size_t most) {
    {
        const std::lock_guard lock(mutex_);
        workers_ = most;
    }
    if (deadlocks_->has_calls()) deadlocks_->look();
}

call_stats switchboard::stats() const {
    const std::lock_guard lock(mutex_);
    auto s = counters_;
    s.frames_received = frames_received_.load(std::memory_order_relaxed);
    s.bytes_received = bytes_received_.load(std::memory_order_relaxed);
    s.queued = queue_.waiting();
    s.queued_interactive = queue_.waiting(priority::interactive);
    s.queued_normal = queue_.waiting(priority::normal);
    s.queued_batch = queue_.waiting(priority::batch);
    if (queue_.empty()) return s;
    const auto now = call::clock::now();
    for (const auto each : {priority::interactive, priority::normal, priority::batch})
        if (const call* first = queue_.front_of(each))
            s.waits.waiting =
                std::max(s.waits.waiting, std::chrono::floor<std::chrono::microseconds>(now - first->queued_at));
    return s;
}

// ---- under the mutex

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

/// The calls that the worker runs, as far as the host knows, in the order of their ids.
std::vector<call*> switchboard::running_on(const line& l) {
    std::vector<call*> found;
    found.reserve(l.sent.size());
    for (const auto& [id, c] : l.sent) found.push_back(c);
    const auto by_id = [](const call* a, const call* b) { return a->id < b->id; };
    const auto count = std::min(found.size(), static_cast<std::size_t>(l.width));
    std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count), found.end(), by_id);
    found.resize(count);
    return found;
}

/// How many of its calls begin and end together, or run beside each other: the batch that runs, or as many as it
/// executes.
std::size_t switchboard::together(const line& l) const {
    const auto width = static_cast<std::size_t>(l.width);
    if (l.at_once == 1 || l.sent.empty()) return width;
    const auto tool = running_on(l).front()->tool_index;
    const auto same =
        std::count_if(l.sent.begin(), l.sent.end(), [&](const auto& each) { return each.second->tool_index == tool; });
    return std::min(static_cast<std::size_t>(same), static_cast<std::size_t>(tools_[tool].batch));
}

/// What works for the call in the host has nobody to work for.
void switchboard::let_helpers_go(call& c, const error& why, consequences& todo) {
    for (auto& h : std::exchange(c.helpers, {})) todo.let_go.emplace_back(std::move(h), why);
}

/// The same because it is over. Most calls have none: no error is made for them.
void switchboard::let_helpers_go(call& c, consequences& todo) {
    if (!c.helpers.empty()) let_helpers_go(c, call_over_error(), todo);
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
        fail_waiting(c, moved_error(c.tool), todo);
    } else if (l) {
        queue_.served(c);
        note_wait(c, now);
        note_lateness(c.priority, *now);
        put_on(*l, c);
        want_flush(*l, todo);
    } else if (home && c.affinity == affinity::strict_fail_fast) {
        fail_waiting(c, busy_error(c.tool), todo);
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

/// The caller's end of the call.
void switchboard::answer(call_ptr c, result<value> outcome, consequences& todo) {
    if (c->due_hook.linked) deadlines_.erase(*c);
    if (c->parent) {
        deadlocks_->ended(*c);
        todo.deadlocks = deadlocks_->has_calls();  // at another board they may have waited for this one alone
    }
    if (c->on) --counters_.in_flight;
    c->answered = true;
    c->outcome = std::move(outcome);
    if (has_telemetry && c->trail) todo.trails.push_back({c, std::move(c->trail)});
    post(std::move(c), todo);
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

/// Unless a frame is being written: the end of that write takes along what is there.
void switchboard::want_flush(const line& l, consequences& todo) {
    if (!l.writing && (todo.flushes.empty() || todo.flushes.back() != l.out)) todo.flushes.push_back(l.out);
}

/// Python may notice before us that a deadline is over, or be told to stop.
std::uint64_t& switchboard::counter_of(const result<value>& outcome) {
    if (outcome) return counters_.succeeded;
    if (outcome.error() == errc::deadline_exceeded) return counters_.expired;
    if (outcome.error() == errc::cancelled) return counters_.cancelled;
    return counters_.failed;
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

/// Towards its caller.
void switchboard::post(call_ptr c, consequences& todo) {
    (c->stream ? todo.streams : todo.ended).push_back(std::move(c));
}

void switchboard::act(consequences& todo) {
    if (has_telemetry && !(todo.trails.empty() && todo.circuits.empty())) tell(todo);
    deliver(std::move(todo.ended));
    for (const auto& c : todo.streams) {
        c->done = {};  // nobody's executor is kept running for it
        c->stream->end(std::move(c->outcome));
    }
    for (const auto& l : todo.flushes) l->flush();
    for (const auto& c : todo.cancels) c.at->cancel(c.ids);
    for (const auto& c : todo.recalls) c.at->recall(c.ids);
    for (const auto& [who, why] : todo.let_go) who->give_up(why);
    if (todo.served) todo.served->served();
    if (todo.tell_of_waiting) todo.tell_of_waiting();
    if (todo.alarm) tell_alarm();
    if (todo.deadlocks) deadlocks_->look();
}

void switchboard::tell_alarm() {
    const std::lock_guard one_at_a_time(alarm_mutex_);
    std::uint64_t tick = timing_wheel<call>::never;
    {
        const std::lock_guard lock(mutex_);
        tick = alarm_at_;
    }
    if (tick != timing_wheel<call>::never) set_alarm_(epoch_ + std::chrono::milliseconds(tick));
}

}  // namespace snakepit::detail
