// The switchboard's part about how much a worker is given in advance, and when it is taken back.

#include "pool/consequences.hpp"
#include "pool/switchboard.hpp"

#include <algorithm>

namespace snakepit::detail {
namespace {

constexpr std::chrono::seconds lately{1};  // how long an interactive call is remembered
constexpr std::uint32_t batch_part = 4;    // of a horizon, for batch calls while interactive ones come

}  // namespace

std::uint32_t switchboard::cost_of(const call& c) const {
    const auto& cost = tools_[c.tool_index].cost;
    return cost.is_known() ? cost.us() + line_credit::call_overhead : allowed_.credit.unknown_tool;
}

/// A batch runs there, or will, and another one gathers behind it: whatever these take, calls that run together are
/// sent together.
bool switchboard::gathers_batch(const line& l, int batch) {
    return batch > 1 && l.at_once > 1 && l.batched == l.load && l.batched < 2 * batch;
}

/// It would begin at once, or will soon.
bool switchboard::has_credit(const line& l, const call& c) const {
    if (l.load < l.width || gathers_batch(l, tools_[c.tool_index].batch)) return true;
    const bool gives_way = c.priority == priority::batch && interactive_lately_;
    const std::uint64_t horizon = gives_way ? l.credit.horizon_us / batch_part : l.credit.horizon_us;
    return l.credit.work_us <= horizon * static_cast<std::uint64_t>(l.width) && cost_of(c) <= horizon;
}

/// Some call could go there.
bool switchboard::may_have_more(const line& l) const {
    if (!l.routable || l.load >= allowed_.calls_per_line) return false;
    if (l.load < l.width) return true;
    if (gathers_batch(l, l.at_once)) return true;
    return !l.credit.stalled &&
           l.credit.work_us <= std::uint64_t{l.credit.horizon_us} * static_cast<std::uint64_t>(l.width);
}

/// A slow batch call leaves the last free place to interactive ones that come regularly. Not when it is the only one:
/// some batch call always goes on. Nor when there is one worker where it may run.
bool switchboard::is_kept_off(const call& c) const {
    return interactive_lately_ && c.priority == priority::batch && !c.parent && free_places_ <= 1 &&
           placed_[class_queue::index_of(c)] > 0 && c.affinity != affinity::strict &&
           c.affinity != affinity::strict_fail_fast && cost_of(c) > allowed_.credit.least_horizon / batch_part;
}

class_queue::mask switchboard::kept_off() const {
    if (!interactive_lately_) return 0;
    const call* const head = queue_.front_of(priority::batch);
    return head && is_kept_off(*head) ? class_queue::only(*head) : 0;
}

void switchboard::note_interactive(call::clock::time_point now) {
    interactive_at_ = now;
    if (std::exchange(interactive_lately_, true)) return;
    wants_check_ = check_at_ == timing_wheel<call>::never;
}

// ---- calls that are taken back

/// There is another worker: what is held by one that stands still may have somewhere to go.
void switchboard::look_at_stalled_lines() {
    for (const line* l = lines_.front(); l; l = l->all_hook.next)
        if (l->credit.stalled && check_at_ == timing_wheel<call>::never) wants_check_ = true;
}

/// Soon the lines are looked at. While none holds calls in advance, and no interactive one has come, they never are.
void switchboard::arm_check(call::clock::time_point now, consequences& todo) {
    wants_check_ = false;
    const auto stall = allowed_.credit.stall;
    check_at_ = tick_of(now + (stall.count() > 0 ? stall : std::chrono::milliseconds(lately)));
    if (check_at_ >= alarm_at_) return;
    alarm_at_ = check_at_;
    todo.alarm = true;
}

void switchboard::check_lines(call::clock::time_point now, consequences& todo) {
    check_at_ = timing_wheel<call>::never;
    bool again = false;
    for (line* l = lines_.front(); l; l = l->all_hook.next) {
        auto& credit = l->credit;
        const bool holds_some =
            allowed_.credit.stall.count() > 0 && l->load > l->width && static_cast<std::size_t>(l->load) > together(*l);
        const bool stands_still = credit.stalled || (credit.watched && credit.watched_ended == l->ended);
        if (holds_some && stands_still) take_back(*l, todo);
        if (look_at_main_thread(*l, todo)) again = true;
        credit.watched = holds_some;
        credit.watched_ended = l->ended;
        again = again || (holds_some && !credit.stalled);
    }
    if (interactive_lately_) {
        const bool goes_on = placed_[static_cast<std::size_t>(priority::interactive)] > interactive_streams_ ||
                             queue_.waiting(priority::interactive) != 0;
        interactive_lately_ = goes_on || now - interactive_at_ < lately;
    }
    pump(todo);
    if (again) arm_check(now, todo);
    else if (interactive_lately_ && check_at_ == timing_wheel<call>::never)
        check_at_ = tick_of(std::max(interactive_at_ + lately, now + std::chrono::milliseconds(lately) / 4));
}

/// No call has ended for long, and others wait behind the one that runs: they are wanted back. What no frame has taken
/// is taken at once. Without another worker there is nowhere to go; but what has ended may be kept for the next frame.
void switchboard::take_back(line& from, consequences& todo) {
    const bool is_new = !std::exchange(from.credit.stalled, true);
    set_load(from, from.load);
    consequences::sent_calls asked{from.out, {}};
    bool has_others = false;
    for (const line* l = lines_.front(); l && !has_others; l = l->all_hook.next) has_others = l != &from && l->routable;
    if (!has_others || shut_ || closed_for_) {
        if (is_new) todo.recalls.push_back(std::move(asked));
        return;
    }
    const auto may_go = [](const call& c) {
        return !c.answered && c.affinity != affinity::strict && c.affinity != affinity::strict_fail_fast;
    };
    std::vector<std::uint64_t> held;
    for (const auto& each : from.sent) held.push_back(each.first);
    std::sort(held.begin(), held.end());
    const auto last_running = held.empty() ? 0 : held[std::min(together(from), held.size()) - 1];
    for (const auto& [id, c] : from.sent) {
        if (id <= last_running || c->recall != recall_state::none || !may_go(*c)) continue;
        c->recall = recall_state::asked;
        asked.ids.push_back(id);
    }
    if (is_new || !asked.ids.empty()) todo.recalls.push_back(std::move(asked));
    std::vector<call*> unsent;
    for (call* c = from.outbox.front(); c; c = c->hook.next)
        if (may_go(*c)) unsent.push_back(c);
    for (call* c = from.transfers.front(); c; c = c->hook.next)
        if (may_go(*c)) unsent.push_back(c);
    for (call* c : unsent) take_off(*c, todo);
    if (!unsent.empty()) give_back(unsent, todo);
}

/// The worker has not begun it, and never will.
void switchboard::given_back(line& from, call& c, std::vector<call*>& again, consequences& todo) {
    if (from.gone) count_down(from, todo);  // until what it held when it was retired has left it
    from.seen_load = std::max(0, from.seen_load - 1);
    if (c.answered) {
        ++counters_.late_replies;
        end(c, {}, todo);
        return;
    }
    ++counters_.recalled;
    again.push_back(&c);
}

void switchboard::count_down(line& l, consequences& todo) {
    if (l.left == 0) return;
    --l.left;
    if (l.left == 0) todo.served = l.out;
}

pace switchboard::pace_of(const line& l) const {
    const std::lock_guard lock(mutex_);
    const auto& credit = l.credit;
    const auto width = static_cast<std::size_t>(l.width);
    return {credit.stalled ? width : credit.calls(width, static_cast<std::size_t>(allowed_.calls_per_line)),
            std::chrono::microseconds(credit.service.us()), std::chrono::microseconds(credit.round_trip.us())};
}

}  // namespace snakepit::detail
