#pragma once
// All that the host keeps for one worker, and the loop that keeps the worker alive.

#include "capsule/backoff.hpp"
#include "capsule/incarnation.hpp"

#include <snakepit/error.hpp>
#include <snakepit/stats.hpp>

#include <asio/awaitable.hpp>
#include <asio/strand.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace snakepit::detail {

/** Starts its worker, publishes it to the switchboard, explains its death, and starts it again. Nobody else is
    disturbed by any of it.

    @par Thread safety  `request_stop`, `end_now` and `stats` from any thread */
class capsule : public std::enable_shared_from_this<capsule> {
public:
    /// @param first_start  told once how the first start went, on the capsule's strand
    capsule(std::string id, std::shared_ptr<const pool_services> pool, std::function<void(result<void>)> first_start);

    [[nodiscard]] const asio::strand<asio::any_io_executor>& on() const noexcept { return on_; }
    /// The worker's whole life; to be spawned on the strand. Ends after `request_stop`, or when the first start fails.
    static asio::awaitable<void> run(std::shared_ptr<capsule> self);
    /// Drain, then the ladder.
    void request_stop();
    /// Kills the worker and fails its calls, without the executor.
    void end_now(const error& why) noexcept;
    [[nodiscard]] worker_stats stats() const;

private:
    using clock = std::chrono::steady_clock;

    /// How a start, or a life, ended.
    struct ending {
        error why{errc::pool_stopped, "the pool is stopping"};
        bool stopping = false;
        clock::duration up{};
    };
    struct departure {
        bool exited = false;
        bool told = false;               // the launcher has said how, or that it never will
        std::optional<int> wait_status;  // what it said
        std::optional<value> report;     // why it cannot start, in its own words
        void hear(const heard::status& s) {
            told = true;
            wait_status = s.wait_status;
        }
    };

    static asio::awaitable<ending> live(std::shared_ptr<capsule> self);
    static asio::awaitable<result<void>> boot(std::shared_ptr<capsule> self, std::shared_ptr<incarnation> now,
                                              departure& gone);
    static asio::awaitable<void> stop_ladder(std::shared_ptr<capsule> self, std::shared_ptr<incarnation> now,
                                             departure& gone);
    static asio::awaitable<void> bury(std::shared_ptr<capsule> self, std::shared_ptr<incarnation> now, departure& gone);
    static asio::awaitable<void> forget_mail(std::shared_ptr<capsule> self);
    static asio::awaitable<bool> wait_gone(std::shared_ptr<capsule> self, clock::duration limit, departure& gone);
    [[nodiscard]] error explain(incarnation& now, const departure& gone, std::string reason) const;
    [[nodiscard]] error boot_failure(incarnation& now, const departure& gone,
                                     const std::optional<heard::broken>& broken) const;
    void abandon(const error& why);
    void enter(worker_state s);

    const std::string id_;
    const asio::strand<asio::any_io_executor> on_;
    const std::shared_ptr<const pool_services> pool_;
    const std::shared_ptr<capsule_mailbox> mail_;
    std::function<void(result<void>)> first_start_;
    backoff backoff_;
    bool stopping_ = false;

    mutable std::mutex mutex_;
    worker_stats stats_;
    std::shared_ptr<incarnation> now_;
    std::shared_ptr<line> line_;
    bool ended_ = false;
};

}  // namespace snakepit::detail
