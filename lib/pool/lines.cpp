// The switchboard's part about workers that come, leave and die, and what they hold.

#include "pool/consequences.hpp"
#include "pool/refusals.hpp"
#include "pool/switchboard.hpp"
#include "pool/tool_flags.hpp"
#include "session/session_use.hpp"

#include <algorithm>

namespace snakepit::detail {

bool last_words::was_running(std::uint64_t id) const {
    if (running) return std::find(running->begin(), running->end(), id) != running->end();
    return id > done && id <= (begun == unknown ? done + 1 : begun);
}

bool last_words::was_waiting(std::uint64_t id) const {
    return std::find(waiting.begin(), waiting.end(), id) != waiting.end();
}

bool last_words::was_done(std::uint64_t id) const { return running ? id <= begun && !was_running(id) : id <= done; }

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
                fail_waiting(*c, session_moved_error(c->tool), todo);
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
            end(*c, tl::unexpected(session_busy_error(c->tool)), todo);
            continue;
        }
        if (is_strict(*c) && !home && allowed_.strict_calls == when_worker_goes::fail) {
            c->home->line = 0;
            end(*c, tl::unexpected(session_moved_error(c->tool)), todo);
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
        return failed(errc::session_moved, session_moved_error(c.tool).message());
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

}  // namespace snakepit::detail
