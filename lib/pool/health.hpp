#pragma once
// Which workers are out of service, and what that means for calls.

#include "pool/switchboard.hpp"

#include <snakepit/error.hpp>

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace snakepit::detail {

/** A pool is degraded while a worker is out of service; it refuses calls while all are.

    @par Thread safety  every member from any thread */
class pool_health {
public:
    pool_health(std::shared_ptr<switchboard> board, std::size_t workers)
        : board_(std::move(board)), workers_(workers) {}

    void broken(const std::string& worker, const error& why);
    void mended(const std::string& worker);
    /// Why the pool is degraded, or empty.
    [[nodiscard]] std::string reason() const;

private:
    const std::shared_ptr<switchboard> board_;
    const std::size_t workers_;
    mutable std::mutex mutex_;  // taken before the switchboard's
    std::map<std::string, error> broken_;
};

}  // namespace snakepit::detail
