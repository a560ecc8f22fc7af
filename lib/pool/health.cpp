#include "pool/health.hpp"

#include "pool/refusals.hpp"

#include <fmt/format.h>

namespace snakepit::detail {

void pool_health::hired(const std::string& worker) {
    const std::lock_guard lock(mutex_);
    workers_.insert(worker);
    admit();
}

void pool_health::dismissed(const std::string& worker) {
    std::unique_lock lock(mutex_);
    workers_.erase(worker);
    const bool was_broken = broken_.erase(worker) != 0;
    const bool recovers = was_broken && broken_.empty();
    admit();
    lock.unlock();
    if (recovers) events_->publish([this] { return happened::recovered{group_}; });
}

void pool_health::broken(const std::string& worker, const error& why) {
    std::unique_lock lock(mutex_);
    if (!workers_.contains(worker)) return;
    broken_.insert_or_assign(worker, why);
    admit();
    lock.unlock();
    events_->publish([this] { return happened::degraded{group_, reason()}; });
}

void pool_health::mended(const std::string& worker) {
    std::unique_lock lock(mutex_);
    if (broken_.erase(worker) == 0) return;
    const bool recovers = broken_.empty();
    admit();
    lock.unlock();
    if (recovers) events_->publish([this] { return happened::recovered{group_}; });
}

/// Calls, or not. Under the mutex.
void pool_health::admit() {
    if (workers_.empty() || broken_.size() < workers_.size()) return board_->reopen();
    const auto& [worker, why] = *broken_.begin();
    board_->close_for(error(errc::pool_degraded, fmt::format("every worker{} is out of service; {}: {}",
                                                             of_group(group_), worker, why.message())));
}

std::string pool_health::reason() const {
    const std::lock_guard lock(mutex_);
    std::string all;
    for (const auto& [worker, why] : broken_)
        all += fmt::format("{}{}: {}", all.empty() ? "" : "; ", worker, why.message());
    return all;
}

}  // namespace snakepit::detail
