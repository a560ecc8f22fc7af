#pragma once
// An operator at a pool's admin socket.

#include "admin/discovery.hpp"
#include "support/pool_fixture.hpp"

#include <asio/local/stream_protocol.hpp>
#include <asio/read_until.hpp>
#include <asio/redirect_error.hpp>
#include <asio/write.hpp>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace snakepit::test {

/// An operator.
class client {
public:
    client(asio::io_context& on, const fs::path& socket) : peer_(on) {
        peer_.connect(asio::local::stream_protocol::endpoint(socket));
    }

    awaitable<bool> send(std::string text) {
        asio::error_code failed;
        co_await asio::async_write(peer_, asio::buffer(text), asio::redirect_error(asio::use_awaitable, failed));
        co_return !failed;
    }
    /// The next line; nothing: the pool has hung up.
    awaitable<std::optional<value>> read() {
        asio::error_code failed;
        const auto size = co_await asio::async_read_until(peer_, asio::dynamic_buffer(input_), '\n',
                                                          asio::redirect_error(asio::use_awaitable, failed));
        if (failed) co_return std::nullopt;
        const auto line = input_.substr(0, size);
        input_.erase(0, size);
        co_return value::parse(line);
    }
    awaitable<value> ask(std::string line) {
        co_await send(std::move(line) + "\n");
        const std::optional<value> reply = co_await read();
        co_return reply ? *reply : value("hung up");
    }
    void half_close() { peer_.shutdown(asio::local::stream_protocol::socket::shutdown_send); }
    void close() { peer_.close(); }
    [[nodiscard]] asio::local::stream_protocol::socket& socket() noexcept { return peer_; }

private:
    asio::local::stream_protocol::socket peer_;
    std::string input_;
};

inline std::string code_of(const value& reply) {
    return reply.is_object() && reply.contains("error") ? reply["error"]["code"].get<std::string>() : reply.dump();
}
inline std::string message_of(const value& reply) {
    return reply.is_object() && reply.contains("error") ? reply["error"]["message"].get<std::string>() : reply.dump();
}

/// Pools whose admin sockets are found in the test's own directories.
class Admin : public PoolTest {
protected:
    [[nodiscard]] std::vector<fs::path> sockets() const {
        std::vector<fs::path> found;
        for (const auto& p : detail::find_pools())
            if (p.socket.starts_with(runtime().string()) || p.socket.starts_with(scratch().path().string()))
                found.emplace_back(p.socket);
        return found;
    }
    [[nodiscard]] client connect() { return {*io, sockets().at(0)}; }
    [[nodiscard]] pool_options one_worker() const {
        auto how = options();
        how.workers.min = 1;
        return how;
    }
    awaitable<bool> begun(std::size_t lines) {
        const auto log = scratch().path() / "log";
        const std::function<bool()> has = [log, lines] { return line_count(log) >= lines; };
        co_return co_await comes_true(has, 10s * slow);
    }
};

}  // namespace snakepit::test
