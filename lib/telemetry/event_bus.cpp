#include "telemetry/event_bus.hpp"

#include <algorithm>
#include <utility>

namespace snakepit::detail {

/// Who subscribes, whatever the filter.
struct subscription_ear {
    std::recursive_mutex mutex;  // recursive: a subscriber may end its subscription, and events may lead to events
    event_bus::subscriber tell;
    std::function<void()> closed;
    bool over = false;
};

struct subscription_entry {
    event_filter filter;
    std::shared_ptr<subscription_ear> ear = std::make_shared<subscription_ear>();
};

void event_bus::list::replace(entries by) {
    all = std::make_shared<const entries>(std::move(by));
    note_wanted();
}

void event_bus::list::note_wanted() {
    constexpr auto calls = std::uint64_t{1} << event_filter::index_of<happened::call_ended>;
    std::uint64_t kinds = 0;
    for (const auto& e : *all) kinds |= e->filter.wanted_kinds().to_ullong();
    calls_are_subscribed.store((kinds & calls) != 0, std::memory_order_release);
    wanted.store(listeners.empty() ? kinds : kinds | calls, std::memory_order_release);
}

void event_bus::list::change_listeners(call_listener& who, bool hears) {
    const std::lock_guard lock(mutex);
    const std::lock_guard nobody_is_told(listeners_mutex);
    if (hears) listeners.push_back(&who);
    else std::erase(listeners, &who);
    note_wanted();
}

std::shared_ptr<void> event_bus::listen(call_listener& who) {
    list_->change_listeners(who, true);
    return {&who, [from = list_, &who](void*) { from->change_listeners(who, false); }};
}

event_subscription event_bus::subscribe(event_filter filter, subscriber s, std::function<void()> closed) {
    const auto entry = std::make_shared<subscription_entry>();
    entry->filter = std::move(filter);
    entry->ear->tell = std::move(s);
    entry->ear->closed = std::move(closed);
    event_subscription made;
    made.from_ = list_;
    made.entry_ = entry;
    std::unique_lock lock(list_->mutex);
    const bool is_over = list_->closed;
    auto more = *list_->all;
    more.push_back(made.entry_);
    list_->replace(std::move(more));
    lock.unlock();
    if (is_over && made.entry_->ear->closed) made.entry_->ear->closed();
    return made;
}

/// In one step: whoever tells an event finds the one or the other.
void event_bus::refilter(event_subscription& which, event_filter filter) {
    auto changed = std::make_shared<subscription_entry>(*which.entry_);
    changed->filter = std::move(filter);
    const std::lock_guard lock(list_->mutex);
    auto entries_now = *list_->all;
    std::ranges::replace(entries_now, std::exchange(which.entry_, changed), changed);
    list_->replace(std::move(entries_now));
}

void event_bus::list::tell(const event& e) {
    std::unique_lock lock(mutex);
    const auto now = all;
    lock.unlock();
    for (const auto& s : *now) {
        if (!s->filter.wants(e)) continue;
        const std::lock_guard one_at_a_time(s->ear->mutex);
        if (s->ear->over) continue;
        try {
            s->ear->tell(e);
        } catch (...) {
            continue;  // supervision goes on, whatever becomes of those who watch it
        }
    }
}

void event_bus::list::tell_listeners(const happened::call_ended& call) {
    const std::lock_guard one_at_a_time(listeners_mutex);
    for (auto* who : listeners) {
        try {
            who->ended(call);
        } catch (...) {
            continue;  // no memory: the call ends all the same
        }
    }
}

void event_bus::tell(happened::call_ended call) const {
    const bool is_subscribed = list_->calls_are_subscribed.load(std::memory_order_acquire);
    const auto time = is_subscribed ? std::chrono::system_clock::now() : std::chrono::system_clock::time_point();
    list_->tell_listeners(call);
    if (is_subscribed) tell({time, std::move(call)});
}

void event_bus::tell(const event& e) const {
    struct untold {
        std::shared_ptr<list> to;
        event what;
    };
    static thread_local std::vector<untold>* waiting = nullptr;
    if (waiting) return waiting->push_back({list_, e});
    std::vector<untold> rest;  // an empty one costs nothing
    waiting = &rest;
    list_->tell(e);
    while (!rest.empty())
        for (const auto& next : std::exchange(rest, {})) next.to->tell(next.what);
    waiting = nullptr;
}

void event_bus::close() {
    std::unique_lock lock(list_->mutex);
    if (std::exchange(list_->closed, true)) return;
    const auto now = list_->all;
    lock.unlock();
    for (const auto& s : *now) {
        const std::lock_guard one_at_a_time(s->ear->mutex);
        if (!s->ear->over && s->ear->closed) s->ear->closed();
    }
}

}  // namespace snakepit::detail

namespace snakepit {

event_subscription::~event_subscription() {
    if (!entry_) return;
    {
        const std::lock_guard lock(entry_->ear->mutex);
        entry_->ear->over = true;
    }
    const auto from = std::static_pointer_cast<detail::event_bus::list>(from_.lock());
    if (!from) return;
    const std::lock_guard lock(from->mutex);
    auto fewer = *from->all;
    std::erase(fewer, entry_);
    from->replace(std::move(fewer));
}

}  // namespace snakepit
