#include "pool/health.hpp"

#include "pool/refusals.hpp"

#include <fmt/format.h>

namespace snakepit::detail {

void pool_health::hired(const std::string& worker) {
    const std::lock_guard change(change_mutex_);
    {
        const std::lock_guard lock(mutex_);
        workers_.insert(worker);
    }
    admit();
}

void pool_health::dismissed(const std::string& worker) {
    std::unique_lock change(change_mutex_);
    std::unique_lock lock(mutex_);
    workers_.erase(worker);
    const bool was_broken = broken_.erase(worker) != 0;
    const bool recovers = was_broken && broken_.empty();
    lock.unlock();
    admit();
    change.unlock();
    if (recovers) events_->publish([this] { return happened::group_recovered{group_}; });
}

void pool_health::broken(const std::string& worker, const error& why) {
    std::unique_lock change(change_mutex_);
    std::unique_lock lock(mutex_);
    if (!workers_.contains(worker)) return;
    broken_.insert_or_assign(worker, why);
    lock.unlock();
    admit();
    change.unlock();
    events_->publish([this] { return happened::group_degraded{group_, reason()}; });
}

void pool_health::mended(const std::string& worker) {
    std::unique_lock change(change_mutex_);
    std::unique_lock lock(mutex_);
    if (broken_.erase(worker) == 0) return;
    const bool recovers = broken_.empty();
    lock.unlock();
    admit();
    change.unlock();
    if (recovers) events_->publish([this] { return happened::group_recovered{group_}; });
}

/// Calls, or not. Under the mutex of changes: calls that end hear of it at once, and so does whoever listens.
void pool_health::admit() {
    std::unique_lock lock(mutex_);
    if (workers_.empty() || broken_.size() < workers_.size()) {
        lock.unlock();
        return board_->reopen();
    }
    const auto& [worker, why] = *broken_.begin();
    const error refusal(errc::pool_degraded, fmt::format("every worker{} is out of service; {}: {}", of_group(group_),
                                                         worker, why.message()));
    lock.unlock();
    board_->close_for(refusal);
}

std::string pool_health::reason() const {
    const std::lock_guard lock(mutex_);
    std::string all;
    for (const auto& [worker, why] : broken_)
        all += fmt::format("{}{}: {}", all.empty() ? "" : "; ", worker, why.message());
    return all;
}

}  // namespace snakepit::detail
