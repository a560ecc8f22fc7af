// The switchboard's part about more calls than there is time for, and about tools that end their workers.

#include "pool/consequences.hpp"
#include "pool/switchboard.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <csignal>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;

/// It has waited for longer than it has time left.
bool is_late(const call& c, call::clock::time_point now) { return now - c.queued_at > c.deadline - now; }

/// The worker has crashed, or left. What others have killed tells nothing about the tool that it ran.
bool is_own_doing(const worker_exit* how) {
    if (!how) return false;
    if (!how->out_of_memory.empty()) return true;
    constexpr int lost_the_host = 75;  // EXIT_LOST and EXIT_PROTOCOL of _protocol.py: no tool's doing
    constexpr int broken_protocol = 76;
    if (how->code == lost_the_host || how->code == broken_protocol) return false;
    constexpr int by_others[] = {SIGKILL, SIGTERM, SIGINT, SIGHUP};
    return how->signal == 0 ? how->code >= 0 : std::ranges::find(by_others, how->signal) == std::end(by_others);
}

}  // namespace

// ---- whose turn it is while there are too many

/// Once the first of a class has waited for longer than it has time left, its newest call is next: that one can still
/// be served in time, and who has waited so long gets what is left. While there is time for all it is first come, first
/// served.
void switchboard::note_lateness(priority of, call::clock::time_point now) {
    const call* const oldest = queue_.front_of(of);
    const auto bit = class_queue::mask{1} << static_cast<unsigned>(of);
    if (oldest && is_late(*oldest, now)) newest_first_ |= bit;
    else newest_first_ &= ~bit;
}

/// Calls of a strict session keep their order.
call* switchboard::next_in_queue(class_queue::mask without) const {
    call* const oldest = queue_.front(without);
    if (!oldest || oldest->parent || !(newest_first_ & class_queue::only(*oldest))) return oldest;
    call* const newest = queue_.back_beside(*oldest);
    return is_strict(*newest) && newest->home->queued > 1 ? oldest : newest;
}

/// Not fresh calls are refused for the sake of one that will hardly be served in time.
bool switchboard::make_room(const call& wanted_for, call::clock::time_point now, consequences& todo) {
    call* const oldest = queue_.front_of(wanted_for.priority);
    if (!oldest || !is_late(*oldest, now)) return false;
    leave_queue(*oldest);
    const error why(errc::queue_full,
                    "it had waited for longer than it had time left, and has made room for a newer call; there is more "
                    "to do than the workers can do: fewer calls, or more workers, would help");
    fail_waiting(*oldest, why.with_tool(oldest->tool).with_retry_after(half_of_queue(now)), todo);
    return true;
}

/// Until about half of the calls that wait now will have been served: by what the last ones have taken, and by how long
/// the first one has waited already.
std::chrono::milliseconds switchboard::half_of_queue(call::clock::time_point now) const {
    std::uint64_t places = 0;
    std::uint64_t known = 0;
    std::uint64_t service_us = 0;
    std::uint64_t way_us = 0;
    for (const line* l = lines_.front(); l; l = l->all_hook.next) {
        if (!l->routable) continue;
        places += static_cast<std::uint64_t>(l->width);
        if (!l->credit.service.is_known()) continue;
        ++known;
        service_us += l->credit.service.us() + line_credit::call_overhead;
        way_us += l->credit.round_trip.us();
    }
    auto half = call::clock::duration::zero();
    if (known != 0)
        half = std::chrono::microseconds(queue_.waiting() * (service_us / known) / places / 2 + way_us / known);
    if (const call* const oldest = queue_.front()) half = std::max(half, (now - oldest->queued_at) / 2);
    return std::clamp<std::chrono::milliseconds>(std::chrono::ceil<std::chrono::milliseconds>(half), 1ms, 1min);
}

// ---- tools that end their workers

/// A worker is gone. Only when all that it ran was of one tool is it known whose doing it was.
void switchboard::note_death(const std::vector<call*>& lost, const error& why, const last_words& said,
                             consequences& todo) {
    if (!is_own_doing(why.exit())) return;
    std::optional<std::uint32_t> tool;
    for (const call* c : lost) {
        if (!said.was_running(c->id)) continue;
        if (tool && *tool != c->tool_index) return;
        tool = c->tool_index;
    }
    if (!tool) return;
    auto& breaker = tools_[*tool].breaker;
    const bool was_open = breaker.is_open(allowed_.tools);
    breaker.ended_a_worker(allowed_.tools, call::clock::now());
    if (!was_open && breaker.is_open(allowed_.tools)) todo.circuits.emplace_back(tools_[*tool].spec.name, true);
}

void switchboard::note_reply(known_tool& tool, consequences& todo) {
    if (tool.breaker.is_closed()) return;
    if (tool.breaker.is_open(allowed_.tools)) todo.circuits.emplace_back(tool.spec.name, false);
    tool.breaker.replied();
}

error switchboard::degraded_tool_error(const known_tool& tool, call::clock::time_point now) const {
    const auto wait = tool.breaker.until_next_try(now);
    const error e(errc::tool_degraded,
                  fmt::format("the last {} workers that ended by themselves while they ran it had no reply of it "
                              "between them; it is tried again with one call in {} ms",
                              allowed_.tools.deaths, wait.count()));
    return e.with_tool(tool.spec.name).with_retry_after(wait);
}

std::string switchboard::degraded_tools() const {
    const std::lock_guard lock(mutex_);
    std::string all;
    for (const auto& tool : tools_)
        if (tool.breaker.is_open(allowed_.tools))
            all += fmt::format("{}tool {}: it has ended {} workers in a row", all.empty() ? "" : "; ", tool.spec.name,
                               allowed_.tools.deaths);
    return all;
}

// ---- second attempts

bool switchboard::hedge(const call_ptr& second, const call& first) {
    consequences todo;
    begin_trail(*second);
    if (second->trail) second->trail->hedge = true;
    {
        const std::lock_guard lock(mutex_);
        const bool is_under_way = first.place == call_place::outbox || first.place == call_place::sent;
        if (shut_ || closed_for_ || first.answered || !is_under_way) return false;
        line* free = nullptr;
        const auto& tool = tools_[first.tool_index];
        second->tool_index = first.tool_index;
        for (line* l = lines_.front(); l && !free; l = l->all_hook.next)
            if (l != first.on && l->routable && l->load < l->width && !(tool.main_thread && l->on_main > 0) &&
                takes(*l, *second))
                free = l;
        if (!free || tool.breaker.is_open(allowed_.tools) || !retries_.take()) return false;
        if (second->parent) deadlocks_->began(*second, *this);
        todo.deadlocks = second->parent != nullptr;
        second->ticket = ++counters_.submitted;
        ++counters_.hedged;
        second->self = second;
        if (second->deadline != call::clock::time_point::max()) {
            deadlines_.insert(*second, tick_of(second->deadline));
            if (second->due_tick < alarm_at_) {
                alarm_at_ = second->due_tick;
                todo.alarm = true;
            }
        }
        put_on(*free, *second);
        want_flush(*free, todo);
    }
    act(todo);
    return true;
}

}  // namespace snakepit::detail
