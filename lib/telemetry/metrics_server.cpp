#include "telemetry/metrics_server.hpp"

#include "process/fork_shield.hpp"
#include "process/unique_fd.hpp"
#include "telemetry/listen_address.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <asio/awaitable.hpp>
#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/read_until.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using asio::ip::tcp;

constexpr std::size_t longest_request = 8 << 10;
constexpr int most_clients = 32;
constexpr auto patience = 10s;

error cannot_listen(const std::string& address, const std::string& why, std::string_view what_to_do) {
    return {errc::listen_failed, fmt::format("metrics_listen: cannot listen on {}: {}; {}", address, why, what_to_do)};
}

error cannot_listen(const std::string& address, int why) {
    const auto* what_to_do = "choose another address";
    if (why == EADDRINUSE) what_to_do = "end what listens there, or choose another port, or 0 for any that is free";
    if (why == EADDRNOTAVAIL) what_to_do = "choose an address of this machine, or 0.0.0.0 for all of them";
    if (why == EACCES) what_to_do = "choose a port above 1023";
    return cannot_listen(address, std::generic_category().message(why), what_to_do);
}

struct address_list {
    ~address_list() {
        if (first) ::freeaddrinfo(first);
    }
    addrinfo* first = nullptr;
};

/// @return  or errno
tl::expected<unique_fd, int> listen_on(const addrinfo& a) {
    unique_fd fd(::socket(a.ai_family, a.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a.ai_protocol));
    const int yes = 1;  // what an earlier listener has served need not have been forgotten
    if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        ::bind(fd.get(), a.ai_addr, a.ai_addrlen) != 0 || ::listen(fd.get(), SOMAXCONN) != 0)
        return tl::unexpected(errno);
    return fd;
}

result<unique_fd> listen_on(const std::string& address) {
    const auto parsed = parse_listen_address(address);
    if (!parsed) return tl::unexpected(cannot_listen(address, "it is no address", listen_addresses()));
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    address_list found;
    if (const int failed =
            ::getaddrinfo(parsed->host.c_str(), std::to_string(parsed->port).c_str(), &wanted, &found.first))
        return tl::unexpected(cannot_listen(address, ::gai_strerror(failed), "choose an address of this machine"));
    int why = EADDRNOTAVAIL;
    for (const auto* a = found.first; a; a = a->ai_next) {
        auto fd = listen_on(*a);
        if (fd) return std::move(*fd);
        why = fd.error();
    }
    return tl::unexpected(cannot_listen(address, why));
}

int port_of(int fd) {
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&bound);
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&bound);
    return ntohs(bound.ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
}

std::string reply(std::string_view status, std::string_view type, std::string_view body, bool with_body = true) {
    return fmt::format(
        "HTTP/1.1 {}\r\nContent-Type: {}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}", status,
        type, body.size(), with_body ? body : "");
}

}  // namespace

class metrics_server::service {
public:
    service(unique_fd listener, std::function<std::string()> text)
        : port_(port_of(listener.get())),
          shield_(listener.get()),
          listener_(context_, listener.release()),
          text_(std::move(text)) {
        asio::co_spawn(context_, accept(*this), [](std::exception_ptr failed) {
            if (failed) std::rethrow_exception(failed);
        });
        // Signals are the application's.
        sigset_t all;
        sigset_t before;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before);
        try {
            thread_ = std::thread([this] { context_.run(); });
        } catch (...) {
            ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
            throw;
        }
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        ::pthread_setname_np(thread_.native_handle(), "sp-metrics");
    }
    ~service() {
        context_.stop();
        thread_.join();
        const fork_pause until_it_is_closed;
        shield_.lift(until_it_is_closed);
        asio::error_code ignored;
        listener_.close(ignored);
    }

    [[nodiscard]] int port() const noexcept { return port_; }

private:
    /// asio's acceptor makes sockets that exec() hands on.
    static asio::awaitable<void> accept(service& me) {
        asio::steady_timer pause(me.context_);
        for (;;) {
            asio::error_code failed;
            auto until_ready = asio::redirect_error(asio::use_awaitable, failed);
            co_await me.listener_.async_wait(asio::posix::stream_descriptor::wait_read, until_ready);
            unique_fd fd(::accept4(me.listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
            if (!fd) {  // out of descriptors, say: they come back
                if (errno == EAGAIN || errno == ECONNABORTED) continue;
                pause.expires_after(100ms);
                co_await pause.async_wait(asio::use_awaitable);
                continue;
            }
            if (me.clients_ == most_clients) continue;
            std::shared_ptr<connection> client;
            try {
                client = std::make_shared<connection>(me.context_, std::move(fd));
            } catch (const std::exception&) {  // out of memory: the next one may have more luck
                continue;
            }
            ++me.clients_;
            client->deadline.async_wait([client](const asio::error_code& over) {
                if (!over) ::shutdown(client->socket.native_handle(), SHUT_RDWR);
            });
            asio::co_spawn(me.context_, serve(me, client), [&me, client](std::exception_ptr) {
                client->deadline.cancel();  // whatever went wrong, the client sees its end
                --me.clients_;
            });
        }
    }

    struct connection {
        connection(asio::io_context& context, unique_fd fd) : socket(context), deadline(context, patience) {
            socket.assign(tcp::v4(), fd.get());
            (void)fd.release();  // the socket's from here
        }
        tcp::socket socket;  // of either family: nobody asks it for addresses
        asio::steady_timer deadline;
    };

    static asio::awaitable<void> serve(service& me, std::shared_ptr<connection> with) {
        std::string request;
        asio::error_code failed;
        auto told = asio::redirect_error(asio::use_awaitable, failed);
        co_await asio::async_read_until(with->socket, asio::dynamic_buffer(request, longest_request), "\r\n\r\n", told);
        if (failed && failed != asio::error::not_found) co_return;
        const auto answer = failed ? reply("431 Request Header Fields Too Large", "text/plain", "too long\n")
                                   : me.answer_to(request.substr(0, request.find('\r')));
        co_await asio::async_write(with->socket, asio::buffer(answer), told);
        with->socket.shutdown(tcp::socket::shutdown_both, failed);
    }

    /// @param line  "GET /metrics HTTP/1.1"
    [[nodiscard]] std::string answer_to(const std::string& line) const {
        const auto method = line.substr(0, line.find(' '));
        const auto rest = line.substr(std::min(line.size(), method.size() + 1));
        const auto path = rest.substr(0, rest.find_first_of(" ?"));
        if (line.find(" HTTP/1.") == line.npos) return reply("400 Bad Request", "text/plain", "HTTP/1.1 only\n");
        if (method != "GET" && method != "HEAD") return reply("405 Method Not Allowed", "text/plain", "GET only\n");
        const bool with_body = method == "GET";
        if (path != "/metrics") return reply("404 Not Found", "text/plain", "see /metrics\n", with_body);
        return reply("200 OK", "text/plain; version=0.0.4", text_(), with_body);
    }

    const int port_;
    asio::io_context context_{1};
    fork_shield shield_;
    asio::posix::stream_descriptor listener_;
    const std::function<std::string()> text_;
    int clients_ = 0;
    std::thread thread_;
};

metrics_server::metrics_server(std::unique_ptr<service> s) : service_(std::move(s)) {}
metrics_server::~metrics_server() = default;

int metrics_server::port() const noexcept { return service_->port(); }

result<std::unique_ptr<metrics_server>> metrics_server::start(const std::string& address,
                                                              std::function<std::string()> text) {
    auto listener = listen_on(address);
    if (!listener) return tl::unexpected(listener.error());
    try {
        auto s = std::make_unique<service>(std::move(*listener), std::move(text));
        return std::unique_ptr<metrics_server>(new metrics_server(std::move(s)));
    } catch (const std::system_error& e) {
        return tl::unexpected(cannot_listen(address, e.what(), "raise the limit of threads or descriptors"));
    }
}

}  // namespace snakepit::detail
