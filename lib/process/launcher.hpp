#pragma once
// Where workers come from: a small Python process that is the parent of all workers of one pool.

#include "process/channels.hpp"
#include "process/unique_fd.hpp"

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
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
#include <vector>

namespace snakepit::detail {

/// The descriptors that a worker is born with beside stdin, which is /dev/null.
struct worker_fds {
    unique_fd launch;     ///< socket on which it is told what to do and reports why it cannot
    unique_fd life_line;  ///< read end of the pipe whose end is its own end
    unique_fd out;
    unique_fd err;
};

struct worker_process {
    int pid = 0;
    unique_fd pidfd;
};

/** Starts workers and learns how they ended. The process is chosen once; when it dies it is started again by the next
    `spawn`, and its workers live on.

    @par Thread safety  members marked (strand) belong on the strand given */
class launcher : public std::enable_shared_from_this<launcher> {
public:
    using strand = asio::strand<asio::any_io_executor>;
    /// With the raw wait status, or with nothing when the launcher has died before the worker.
    using on_exit = std::function<void(std::optional<int> wait_status)>;

    struct config {
        std::string python;                              ///< `pool_options::python`
        std::map<std::string, std::string> environment;  ///< on top of the host's
        std::chrono::milliseconds timeout{};             ///< for the process to be up
    };

    launcher(strand on, config how);
    ~launcher();

    /// (strand) Tries one Python after the other until one can run workers.
    /// @return  or errc::python_unfit with a line for each; pool_stopped when closed meanwhile
    [[nodiscard]] static asio::awaitable<result<void>> start(std::shared_ptr<launcher> self);
    /// (strand) A new worker process, which waits for its instructions on the launch socket.
    /// @param ended  called once on the strand
    [[nodiscard]] static asio::awaitable<result<worker_process>> spawn(std::shared_ptr<launcher> self, worker_fds fds,
                                                                       on_exit ended);
    /// (strand) No process is started any more; who waits for one hears pool_stopped. Workers that are up stay.
    void refuse();
    /// (strand) Ends the process and with it every worker, without keeping the executor waiting.
    [[nodiscard]] static asio::awaitable<void> end(std::shared_ptr<launcher> self);
    /// From any thread, at the end: kills the process and with it every worker, and waits for it, up to a second.
    void close() noexcept;
    [[nodiscard]] const strand& on() const noexcept { return on_; }

private:
    struct pending_spawn {
        std::optional<result<worker_process>> outcome;
        asio::steady_timer wake;
    };

    result<void> boot(const std::string& python);
    static asio::awaitable<result<void>> ensure_up(std::shared_ptr<launcher> self);
    static asio::awaitable<result<void>> try_pythons(std::shared_ptr<launcher> self);
    asio::awaitable<result<value>> greeting();
    void hang_up() noexcept;
    void listen();
    void handle(packet p);
    void lost(const error& why);
    void kill_group() noexcept;

    strand on_;
    config how_;
    std::string chosen_;
    std::shared_ptr<asio::posix::stream_descriptor> socket_;
    unique_fd complaints_;  // its stderr, until it is up
    bool starting_ = false;
    result<void> last_start_;     // for those who waited for it
    asio::steady_timer changed_;  // cancelled when a start has ended, or a spawn
    std::uint64_t last_id_ = 0;
    std::unordered_map<std::uint64_t, std::shared_ptr<pending_spawn>> pending_;
    std::unordered_map<std::uint64_t, on_exit> alive_;

    // What close() needs from any thread.
    std::mutex mutex_;
    std::atomic<bool> closed_ = false;
    int pid_ = 0;
    unique_fd pidfd_;
    unique_fd hang_up_;  // a second descriptor of the socket
};

}  // namespace snakepit::detail
