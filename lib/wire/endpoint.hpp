#pragma once
// The one door of a pool: a Unix socket whose peers the kernel vouches for, and the gRPC server behind it.

#include "pool/switchboard.hpp"
#include "process/fork_shield.hpp"
#include "process/ledger.hpp"
#include "telemetry/event_bus.hpp"
#include "wire/attachment.hpp"
#include "wire/socket_directory.hpp"

#include <snakepit/error.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace grpc {
class Server;
}

namespace snakepit::detail {

class host_service;

/** Accepts by itself, since gRPC's local credentials do not check who is there: only processes of this user that the
    pool has started and that have not connected yet come further than accept().

    @par Thread safety  every member from any thread, `open` before the others */
class endpoint : public std::enable_shared_from_this<endpoint> {
public:
    using strand = asio::strand<asio::any_io_executor>;

    endpoint(strand on, std::size_t max_message_bytes, std::shared_ptr<event_bus> events);
    ~endpoint();

    /// @param directory  `pool_options::socket_directory`
    /// @param book       is opened beside the socket, once what others have left was cleaned up
    /// @return  or errc::socket_directory, launch_failed
    [[nodiscard]] result<void> open(const std::string& directory, ledger& book);
    /// What workers dial: "unix:/..."
    [[nodiscard]] std::string address() const;
    /// Where the socket for operators belongs. It is to be gone before `close`, which removes the directory.
    [[nodiscard]] std::string admin_path() const;
    /// This worker may connect, once.
    void expect(std::shared_ptr<attachment> who);
    /// Its incarnation has ended.
    void forget(const attachment& who);
    [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }
    /// Ends every connection and the server. Waits for gRPC to be done with the streams; they are cut, so that is soon.
    void close() noexcept;

private:
    friend class host_service;

    void refuse(int pid, std::string why);
    void accept();
    void admit(asio::local::stream_protocol::socket peer);
    [[nodiscard]] std::shared_ptr<attachment> behind(const std::string& connection) const;

    const strand on_;
    const std::size_t max_message_bytes_;
    const std::shared_ptr<event_bus> events_;
    std::optional<socket_directory> directory_;
    std::optional<asio::local::stream_protocol::acceptor> door_;
    fork_shield door_shield_;
    asio::steady_timer pause_;
    std::atomic<std::uint64_t> refused_ = 0;

    mutable std::mutex mutex_;
    bool closed_ = false;
    std::unique_ptr<host_service> service_;
    std::unique_ptr<grpc::Server> server_;
    std::unordered_map<int, std::shared_ptr<attachment>> by_pid_;
    std::unordered_map<std::string, std::shared_ptr<attachment>> by_connection_;  // gRPC's name of the peer
};

}  // namespace snakepit::detail
