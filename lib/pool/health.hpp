#pragma once
// Which workers are out of service, and what that means for calls.

#include "pool/switchboard.hpp"
#include "telemetry/event_bus.hpp"

#include <snakepit/error.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

namespace snakepit::detail {

/** A group of workers is degraded while one is out of service; it refuses calls while all are. One without workers does
    not: calls bring them.

    @par Thread safety  every member from any thread */
class pool_health {
public:
    pool_health(std::string group, std::shared_ptr<switchboard> board, std::shared_ptr<event_bus> events)
        : group_(std::move(group)), board_(std::move(board)), events_(std::move(events)) {}

    /// The group has this worker from now on.
    void hired(const std::string& worker);
    /// And now no more, whatever becomes of it.
    void dismissed(const std::string& worker);
    void broken(const std::string& worker, const error& why);
    void mended(const std::string& worker);
    /// Why the group is degraded, or empty.
    [[nodiscard]] std::string reason() const;

private:
    void admit();

    const std::string group_;
    const std::shared_ptr<switchboard> board_;
    const std::shared_ptr<event_bus> events_;
    std::mutex change_mutex_;   // of one change with all that follows from it; taken before the switchboard's
    mutable std::mutex mutex_;  // of what is known: never held while others are told, who may ask for `reason`
    std::set<std::string> workers_;
    std::map<std::string, error> broken_;  // of those
};

}  // namespace snakepit::detail
