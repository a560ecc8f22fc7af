// The switchboard as a whole. Its parts: admission.cpp (calls come in), placing.cpp and flow.cpp (which worker they go
// to), dispatch.cpp and switchboard_streams.cpp (what is sent and comes back), lines.cpp (workers come and go),
// overload.cpp, main_thread.cpp, deadlocks.cpp, and call_events.cpp.

#include "pool/switchboard.hpp"

#include "pool/completions.hpp"
#include "pool/consequences.hpp"
#include "pool/helper.hpp"
#include "pool/refusals.hpp"

#include <algorithm>

namespace snakepit::detail {

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

/// What works for the call in the host has nobody to work for.
void switchboard::let_helpers_go(call& c, const error& why, consequences& todo) {
    for (auto& h : std::exchange(c.helpers, {})) todo.let_go.emplace_back(std::move(h), why);
}

/// The same because it is over. Most calls have none: no error is made for them.
void switchboard::let_helpers_go(call& c, consequences& todo) {
    if (!c.helpers.empty()) let_helpers_go(c, call_over_error(), todo);
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
