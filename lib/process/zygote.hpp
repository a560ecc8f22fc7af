#pragma once
// A process that has imported the user's module, and forks workers.

#include "process/launcher.hpp"
#include "process/memory_kills.hpp"
#include "process/output_tail.hpp"
#include "process/request_channel.hpp"

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace snakepit::detail {

/** One such process, a child of the launcher from `start` until the object goes.

    @par Thread safety  use it on the launcher's strand */
class zygote : public std::enable_shared_from_this<zygote> {
public:
    struct config {
        std::string module;
        std::vector<std::string> python_path;
        std::chrono::milliseconds timeout{};  ///< for the import
        bool forward_output = false;          ///< to the host's stderr
        std::vector<std::string> profiles{};  ///< of its workers, as on their launch line
    };

    zygote(std::shared_ptr<launcher> parent, config how);
    /// Its process is killed; its workers live on.
    ~zygote();

    /// Once. Imports the module.
    /// @return  why workers cannot be forked, empty when they can;
    ///          or errc::module_failed, start_timeout, launch_failed, python_unfit, pool_stopped
    [[nodiscard]] static asio::awaitable<result<std::string>> start(std::shared_ptr<zygote> self);
    /// A new worker process, a child of the launcher, which waits for its instructions on the launch socket.
    [[nodiscard]] static asio::awaitable<result<worker_process>> fork(std::shared_ptr<zygote> self, worker_fds fds,
                                                                      launcher::on_exit ended);
    /// No worker is forked any more; who waits for one, or for the start, hears pool_stopped.
    void refuse();
    /// Whether it lives and its workers would be the launcher's children.
    [[nodiscard]] bool is_usable() const noexcept { return !over_ && channel_ && channel_->is_open(); }

private:
    asio::awaitable<result<void>> be_born();
    asio::awaitable<void> wait_over(std::chrono::milliseconds limit);
    asio::awaitable<error> explain(std::optional<value> report);
    asio::awaitable<error> give_up();
    [[nodiscard]] worker_exit exit() const;

    const std::shared_ptr<launcher> parent_;
    const config how_;
    std::shared_ptr<request_channel> channel_;
    std::shared_ptr<output_tail> out_;
    std::shared_ptr<output_tail> err_;
    shielded_fd life_line_;
    std::optional<page> left_;
    shielded_fd pidfd_;
    memory_kills memory_kills_;
    bool refused_ = false;
    bool over_ = false;  // it has ended, or the launcher has
    std::optional<int> wait_status_;
    asio::steady_timer ended_;  // cancelled when over_ comes true
    std::uint64_t last_id_ = 0;
};

}  // namespace snakepit::detail
