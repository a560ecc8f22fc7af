#include "telemetry/event_bus.hpp"

#include <utility>

namespace snakepit::detail {

struct subscription_entry {
    std::recursive_mutex mutex;  // recursive: a subscriber may end its subscription, and events may lead to events
    event_filter filter;
    event_bus::subscriber tell;
    std::function<void()> closed;
    bool over = false;
};

void event_bus::list::replace(entries by) {
    std::uint64_t kinds = 0;
    for (const auto& e : by) kinds |= e->filter.wanted_kinds().to_ullong();
    all = std::make_shared<const entries>(std::move(by));
    wanted.store(kinds, std::memory_order_release);
}

event_subscription event_bus::subscribe(event_filter filter, subscriber s, std::function<void()> closed) {
    event_subscription made;
    made.from_ = list_;
    made.entry_ = std::make_shared<subscription_entry>();
    made.entry_->filter = std::move(filter);
    made.entry_->tell = std::move(s);
    made.entry_->closed = std::move(closed);
    std::unique_lock lock(list_->mutex);
    const bool is_over = list_->closed;
    auto more = *list_->all;
    more.push_back(made.entry_);
    list_->replace(std::move(more));
    lock.unlock();
    if (is_over && made.entry_->closed) made.entry_->closed();
    return made;
}

void event_bus::list::tell(const event& e) {
    std::unique_lock lock(mutex);
    const auto now = all;
    lock.unlock();
    for (const auto& s : *now) {
        if (!s->filter.wants(e)) continue;
        const std::lock_guard one_at_a_time(s->mutex);
        if (s->over) continue;
        try {
            s->tell(e);
        } catch (...) {
            continue;  // supervision goes on, whatever becomes of those who watch it
        }
    }
}

void event_bus::tell(event e) const {
    struct untold {
        std::shared_ptr<list> to;
        event what;
    };
    static thread_local std::vector<untold>* waiting = nullptr;
    if (waiting) return waiting->push_back({list_, std::move(e)});
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
        const std::lock_guard one_at_a_time(s->mutex);
        if (!s->over && s->closed) s->closed();
    }
}

}  // namespace snakepit::detail

namespace snakepit {

event_subscription::~event_subscription() {
    if (!entry_) return;
    {
        const std::lock_guard lock(entry_->mutex);
        entry_->over = true;
    }
    const auto from = std::static_pointer_cast<detail::event_bus::list>(from_.lock());
    if (!from) return;
    const std::lock_guard lock(from->mutex);
    auto fewer = *from->all;
    std::erase(fewer, entry_);
    from->replace(std::move(fewer));
}

}  // namespace snakepit
