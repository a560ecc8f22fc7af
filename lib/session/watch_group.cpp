#include "session/watch_group.hpp"

#include <utility>

namespace snakepit::detail {

struct watch_group::watcher {
    std::recursive_mutex mutex;  // recursive: a watcher may end its subscription
    teller tell;
    bool over = false;
};

struct watch_group::subscription {
    std::weak_ptr<watch_group> group;
    std::shared_ptr<watcher> who;

    subscription(std::weak_ptr<watch_group> g, std::shared_ptr<watcher> w) : group(std::move(g)), who(std::move(w)) {}
    subscription(const subscription&) = delete;
    subscription& operator=(const subscription&) = delete;
    ~subscription() {
        {
            const std::lock_guard lock(who->mutex);
            who->over = true;
        }
        const auto from = group.lock();
        if (!from) return;
        const std::lock_guard lock(from->mutex_);
        auto left = std::make_shared<watchers>(*from->watchers_);
        std::erase(*left, who);
        from->watchers_ = std::move(left);
    }
};

std::shared_ptr<void> watch_group::add(teller tell) {
    auto who = std::make_shared<watcher>();
    who->tell = std::move(tell);
    auto token = std::make_shared<subscription>(weak_from_this(), who);
    const std::lock_guard lock(mutex_);
    auto more = std::make_shared<watchers>(*watchers_);
    more->push_back(std::move(who));
    watchers_ = std::move(more);
    return token;
}

bool watch_group::empty() const {
    const std::lock_guard lock(mutex_);
    return watchers_->empty();
}

void watch_group::queue(session_event e) {
    const std::lock_guard lock(mutex_);
    if (!watchers_->empty()) untold_.push_back({std::move(e), watchers_});
}

void watch_group::tell() {
    std::unique_lock lock(mutex_);
    if (telling_) return;
    telling_ = true;
    while (!untold_.empty()) {
        const auto next = std::move(untold_.front());
        untold_.pop_front();
        lock.unlock();
        for (const auto& who : *next.to) {
            const std::lock_guard one_at_a_time(who->mutex);
            if (who->over) continue;
            try {
                who->tell(next.event);
            } catch (...) {
                continue;  // the others are to hear it all the same
            }
        }
        lock.lock();
    }
    telling_ = false;
}

}  // namespace snakepit::detail
