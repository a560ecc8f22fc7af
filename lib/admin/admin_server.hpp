#pragma once
// The socket by which operators look at a pool and tell it what to do: `snakepit status` and its kind.

#include "admin/admin_connection.hpp"
#include "admin/discovery.hpp"
#include "process/fork_shield.hpp"

#include <snakepit/error.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace snakepit::detail {

class pool_impl;

/** Lets in who is this user or root, 32 at once; for one more it hangs up on who has asked nothing for the longest
   time.

    @par Thread safety  the pool's strand, but for `close` */
class admin_server : public std::enable_shared_from_this<admin_server> {
public:
    using strand = asio::strand<asio::any_io_executor>;
    static constexpr std::size_t most_connections = 32;
    static constexpr std::chrono::seconds idle_limit{5};  ///< so long nobody is hung up on

    /// @param path  of the socket, in a directory that lets nobody else in
    /// @return  or errc::socket_directory
    [[nodiscard]] static result<std::shared_ptr<admin_server>> open(strand on, const std::shared_ptr<pool_impl>& pool,
                                                                    std::string path);
    ~admin_server() { remove(); }

    /// Removes the socket, and hangs up where nothing is left to be said. Idempotent; any thread.
    void close() noexcept;
    /// There is half a second for that. After `close`, and when no more events come.
    [[nodiscard]] static asio::awaitable<void> end(std::shared_ptr<admin_server> self);

    admin_server(strand on, const std::shared_ptr<pool_impl>& pool, std::string path);

private:
    [[nodiscard]] result<void> listen();
    void accept();
    void admit(int fd, fork_shield shield);
    void hang_up_on_the_idlest();
    void remove() noexcept;

    const strand on_;
    const std::string path_;
    const std::shared_ptr<const admin_facts> facts_;
    asio::local::stream_protocol::acceptor door_;
    fork_shield door_shield_;
    asio::steady_timer pause_;
    std::vector<std::shared_ptr<admin_connection>> connections_;
    asio::steady_timer left_;  // cancelled when one has

    std::mutex mutex_;
    bool listens_ = false;
    discovery_link link_;
};

}  // namespace snakepit::detail
