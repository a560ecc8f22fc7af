#include "pool/health.hpp"

#include <fmt/format.h>

namespace snakepit::detail {

void pool_health::broken(const std::string& worker, const error& why) {
    const std::lock_guard lock(mutex_);
    broken_.insert_or_assign(worker, why);
    if (broken_.size() == workers_)
        board_->close_for(
            error(errc::pool_degraded, fmt::format("every worker is out of service; {}: {}", worker, why.message())));
}

void pool_health::mended(const std::string& worker) {
    const std::lock_guard lock(mutex_);
    if (broken_.erase(worker) != 0) board_->reopen();
}

std::string pool_health::reason() const {
    const std::lock_guard lock(mutex_);
    std::string all;
    for (const auto& [worker, why] : broken_)
        all += fmt::format("{}{}: {}", all.empty() ? "" : "; ", worker, why.message());
    return all;
}

}  // namespace snakepit::detail
