#include "telemetry/event_bus.hpp"

namespace snakepit::detail {

struct event_bus::entry {
    std::recursive_mutex mutex;  // recursive: a subscriber may end its subscription, and events may lead to events
    subscriber tell;
    bool over = false;
};

event_bus::subscription event_bus::subscribe(subscriber s) {
    subscription made;
    made.from_ = list_;
    made.entry_ = std::make_shared<entry>();
    made.entry_->tell = std::move(s);
    const std::lock_guard lock(list_->mutex);
    list_->entries.push_back(made.entry_);
    list_->count.store(list_->entries.size(), std::memory_order_release);
    return made;
}

event_bus::subscription::~subscription() {
    if (!entry_) return;
    {
        const std::lock_guard lock(entry_->mutex);
        entry_->over = true;
    }
    const auto from = from_.lock();
    if (!from) return;
    const std::lock_guard lock(from->mutex);
    std::erase(from->entries, entry_);
    from->count.store(from->entries.size(), std::memory_order_release);
}

void event_bus::tell(const event& e) const {
    std::unique_lock lock(list_->mutex);
    const auto all = list_->entries;
    lock.unlock();
    for (const auto& s : all) {
        const std::lock_guard one_at_a_time(s->mutex);
        if (s->over) continue;
        try {
            s->tell(e);
        } catch (...) {
            continue;  // supervision goes on, whatever becomes of those who watch it
        }
    }
}

}  // namespace snakepit::detail
