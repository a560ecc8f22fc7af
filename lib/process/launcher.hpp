#pragma once
// A small Python process that is the parent of all workers of one pool.

#include "process/fork_shield.hpp"
#include "process/ledger.hpp"
#include "process/request_channel.hpp"
#include "process/single_flight.hpp"
#include "process/unique_fd.hpp"

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/strand.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace snakepit::detail {

/** Starts workers and zygotes and learns how they ended. The process is chosen once; when it dies it is started again
   by the next `spawn`, and its workers live on.

    @par Thread safety  members marked (strand) belong on the strand given */
class launcher : public std::enable_shared_from_this<launcher> {
public:
    using strand = asio::strand<asio::any_io_executor>;
    /// With the raw wait status, or with nothing when the launcher has died before the process.
    using on_exit = std::function<void(std::optional<int> wait_status)>;

    struct config {
        std::string python;                              ///< `pool_options::python`
        std::map<std::string, std::string> environment;  ///< on top of the host's
        std::chrono::milliseconds timeout{};             ///< for the process to be up
        std::shared_ptr<ledger> book{};                  ///< in which what is started is written down, or null
    };

    launcher(strand on, config how);
    ~launcher();

    /// (strand) Tries one Python after the other until one can run workers.
    /// @return  or errc::python_unfit with a line for each; pool_stopped when closed meanwhile
    [[nodiscard]] static asio::awaitable<result<void>> start(std::shared_ptr<launcher> self);
    enum class kind { worker, zygote };
    /// (strand) A new process, which waits for its instructions on the launch socket.
    /// @param ended  called once on the strand
    [[nodiscard]] static asio::awaitable<result<worker_process>> spawn(std::shared_ptr<launcher> self, kind what,
                                                                       worker_fds fds, on_exit ended);
    /// (strand) As if it had spawned this process, which a zygote of its own has forked.
    void watch(int pidfd, on_exit ended);
    /// (strand) No process is started any more; who waits for one hears pool_stopped. Workers that are up stay.
    void refuse();
    /// (strand) Ends the process and with it every worker, without keeping the executor waiting.
    [[nodiscard]] static asio::awaitable<void> end(std::shared_ptr<launcher> self);
    /// From any thread, at the end: kills the process and with it every worker, and waits for it, up to a second.
    void close() noexcept;
    [[nodiscard]] const strand& on() const noexcept { return on_; }
    [[nodiscard]] const std::shared_ptr<ledger>& book() const noexcept { return how_.book; }

private:
    result<void> boot(const std::string& python);
    static asio::awaitable<result<void>> try_pythons(std::shared_ptr<launcher> self);
    asio::awaitable<result<value>> greeting();
    void hang_up() noexcept;
    void listen();
    void handle(const value& news);
    void lost(const error& why);
    void kill_group() noexcept;

    strand on_;
    config how_;
    std::string chosen_;
    std::shared_ptr<request_channel> channel_;  // while it is up, or starts
    unique_fd complaints_;                      // its stderr, until it is up
    single_flight start_;
    std::uint64_t last_id_ = 0;
    std::unordered_map<std::uint64_t, on_exit> alive_;

    // What close() needs from any thread.
    std::mutex mutex_;
    std::atomic<bool> closed_ = false;
    int pid_ = 0;
    shielded_fd pidfd_;
    shielded_fd hang_up_;  // a second descriptor of the socket
};

}  // namespace snakepit::detail
