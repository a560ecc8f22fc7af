#pragma once
// Where workers come from.

#include "process/launcher.hpp"
#include "process/single_flight.hpp"
#include "process/zygote.hpp"

#include <snakepit/error.hpp>
#include <snakepit/options.hpp>

#include <asio/awaitable.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace snakepit::detail {

/** Workers of one pool: forked from a zygote as long as that is possible, else spawned. A zygote that has died is
    replaced by the next `make`; workers do not notice.

    @par Thread safety  members marked (strand) belong on the strand given */
class worker_source {
public:
    using strand = launcher::strand;

    worker_source(strand on, launcher::config how, zygote::config module, start_method wanted);

    /// (strand) Brings up launcher and zygote. @return  or what `launcher::start` or `zygote::start` said
    [[nodiscard]] static asio::awaitable<result<void>> start(std::shared_ptr<worker_source> self);
    /// (strand) A worker process, which waits for its instructions on the launch socket.
    /// @param ended  called once on the strand
    [[nodiscard]] static asio::awaitable<result<worker_process>> make(std::shared_ptr<worker_source> self,
                                                                      worker_fds fds, launcher::on_exit ended);
    /// (strand) Workers made from now on have the module as it is now. When it cannot be imported the old zygote stays.
    /// @return  or what `zygote::start` said
    [[nodiscard]] static asio::awaitable<result<void>> renew(std::shared_ptr<worker_source> self);
    /// (strand) No process is started any more; who waits for one hears pool_stopped. Workers that are up stay.
    void refuse();
    /// (strand) Ends launcher and zygote and with them every worker, without keeping the executor waiting.
    [[nodiscard]] static asio::awaitable<void> end(std::shared_ptr<worker_source> self);
    /// From any thread, at the end: the same, waiting up to a second.
    void close() noexcept { launcher_->close(); }

    [[nodiscard]] const strand& on() const noexcept { return launcher_->on(); }
    /// Any thread. How workers are started, and why not by fork.
    [[nodiscard]] std::pair<start_method, std::string> method() const;

private:
    static asio::awaitable<result<void>> raise(std::shared_ptr<worker_source> self);
    void settle(start_method method, std::string reason);

    const std::shared_ptr<launcher> launcher_;
    const zygote::config module_;
    const start_method wanted_;
    single_flight raising_;
    std::shared_ptr<zygote> raised_;  // while it imports
    std::shared_ptr<zygote> zygote_;  // the one in use
    bool refused_ = false;

    mutable std::mutex mutex_;
    start_method method_;
    std::string reason_;
};

}  // namespace snakepit::detail
