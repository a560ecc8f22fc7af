#pragma once
// Requests to a process that starts others, and its answers.

#include "process/channels.hpp"
#include "process/page.hpp"
#include "process/unique_fd.hpp"

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace snakepit::detail {

/// The descriptors that a process is born with beside stdin, which is /dev/null.
struct worker_fds {
    unique_fd launch;     ///< socket on which it is told what to do and reports why it cannot
    unique_fd life_line;  ///< read end of the pipe whose end is its own end
    unique_fd page;       ///< what is read when it has died
    unique_fd out;
    unique_fd err;
};

/// Both ends of what a process is born with.
struct birth {
    worker_fds child;
    shielded_fd launch;
    shielded_fd life_line;
    page left;
    shielded_fd out;
    shielded_fd err;
};
/// @param launch_type  of the launch socket: SOCK_STREAM or SOCK_SEQPACKET
[[nodiscard]] result<birth> prepare_birth(int launch_type);

/// Why no process is started any more.
[[nodiscard]] error pool_is_stopping();

struct worker_process {
    int pid = 0;
    unique_fd pidfd;
};

/** The host's end of a SOCK_SEQPACKET socket. First one packet is awaited, by which the process says that it is up;
    then `listen`, then requests, many at a time.

    @par Thread safety  use it on its strand */
class request_channel : public std::enable_shared_from_this<request_channel> {
public:
    using strand = asio::strand<asio::any_io_executor>;
    /// Neither is called after `close`.
    struct listener {
        std::function<void(const value&)> news;  ///< a message that answers no request
        std::function<void(error)> lost;         ///< the other side is gone or of no use, and the channel is closed
    };

    /// @param who    the process, for errors: "the launcher process"
    /// @param limit  for each answer
    request_channel(strand on, shielded_fd socket, std::string who, std::chrono::milliseconds limit);

    /// The first packet. @return  or start_timeout, launch_failed when it has gone, or what `refuse` said
    [[nodiscard]] static asio::awaitable<result<value>> greeting(std::shared_ptr<request_channel> self);
    void listen(listener to);
    /// Asks for a process that is born with `fds`, waiting for its turn when many are asked for.
    /// @param id  of the request and its answer
    [[nodiscard]] static asio::awaitable<result<worker_process>> ask(std::shared_ptr<request_channel> self,
                                                                     std::uint64_t id, const char* op, worker_fds fds);
    /// Sends what nobody waits for the answer of. A failure is told to the listener.
    void tell(const value& message, const std::vector<int>& fds);
    /// Nothing is asked for any more; who waits hears `why`. The listener still gets its news.
    void refuse(const error& why);
    /// The end; who waits hears `why`.
    void close(const error& why);
    [[nodiscard]] bool is_open() const noexcept { return socket_.is_open(); }

private:
    struct pending {
        std::optional<result<worker_process>> outcome;
        asio::steady_timer wake;
    };

    void wait();
    void lose(const error& why);
    void handle(packet p);

    strand on_;
    const std::string who_;
    const std::chrono::milliseconds limit_;
    asio::posix::stream_descriptor socket_;
    fork_shield shield_;
    asio::steady_timer turn_;  // cancelled when a request is done
    listener to_;
    bool greeting_ = false;  // it is being awaited
    std::optional<error> refusal_;
    std::unordered_map<std::uint64_t, std::shared_ptr<pending>> pending_;
};

/// A number in a message that another process wrote.
[[nodiscard]] std::optional<std::uint64_t> number_of(const value& message, const char* key);

}  // namespace snakepit::detail
