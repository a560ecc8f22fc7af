#include "admin/recent_events.hpp"

#include "telemetry/event_names.hpp"

#include <algorithm>
#include <string>

namespace snakepit::detail {
namespace {

event_filter kept_kinds() {
    std::vector<std::string> names;
    for (const auto name : event_names)
        if (recent_events::keeps(name)) names.emplace_back(name);
    return *event_filter::named(names);
}

/// A worker's state as the heartbeat finds it: it has something to do, or not.
bool is_everyday(const event& e) {
    const auto* moved = std::get_if<happened::worker_moved>(&e.what);
    const auto serves = [](worker_state s) { return s == worker_state::ready || s == worker_state::executing; };
    return moved && serves(moved->from) && serves(moved->to);
}

}  // namespace

recent_events::recent_events(event_bus& from)
    : subscription_(from.subscribe(kept_kinds(), [this](const event& e) { take(e); })) {}

bool recent_events::keeps(std::string_view name) noexcept {
    return name != happened::call_ended::name && name != happened::heartbeat_answered::name &&
           name != happened::worker_wrote::name && name != happened::worker_logged::name;
}

std::vector<event> recent_events::matching(const event_filter& wanted) const {
    std::vector<event> found;
    const std::lock_guard lock(mutex_);
    std::ranges::copy_if(events_, std::back_inserter(found), [&](const event& e) { return wanted.wants(e); });
    return found;
}

void recent_events::take(const event& e) {
    if (is_everyday(e)) return;
    const std::lock_guard lock(mutex_);
    if (events_.size() == most) events_.pop_front();
    events_.push_back(e);
}

}  // namespace snakepit::detail
