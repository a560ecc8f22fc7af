#include "admin/admin_server.hpp"

#include "pool/pool_impl.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

namespace snakepit::detail {
namespace {
using namespace std::chrono_literals;
using protocol = asio::local::stream_protocol;

/// Made so that no fork comes between, and no program that is started takes it along.
std::pair<int, fork_shield> make_socket() {
    const fork_pause no_fork;
    unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    fork_shield shield(fd.get(), no_fork);
    return {fd.release(), std::move(shield)};
}

std::pair<int, fork_shield> accept_at(int door) {
    const fork_pause no_fork;
    unique_fd fd(::accept4(door, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    fork_shield shield(fd.get(), no_fork);
    return {fd.release(), std::move(shield)};
}

}  // namespace

result<std::shared_ptr<admin_server>> admin_server::open(strand on, const std::shared_ptr<pool_impl>& pool,
                                                         std::string path) {
    auto made = std::make_shared<admin_server>(std::move(on), pool, std::move(path));
    if (auto up = made->listen(); !up) return tl::unexpected(up.error());
    made->accept();
    return made;
}

admin_server::admin_server(strand on, const std::shared_ptr<pool_impl>& pool, std::string path)
    : on_(std::move(on)),
      path_(std::move(path)),
      facts_(std::make_shared<const admin_facts>(pool)),
      door_(on_),
      pause_(on_),
      left_(on_, asio::steady_timer::time_point::max()) {}

result<void> admin_server::listen() {
    const auto failed = [&](const std::string& why) {
        return tl::unexpected(error(errc::socket_directory, fmt::format("{}: {}", path_, why)));
    };
    auto [fd, shield] = make_socket();
    if (fd < 0) return failed(std::strerror(errno));
    door_shield_ = std::move(shield);
    asio::error_code why;
    door_.assign(protocol(), fd, why);
    if (why) {
        const fork_pause until_it_is_closed;
        door_shield_.lift(until_it_is_closed);
        ::close(fd);
        return failed(why.message());
    }
    // Before there is a name by which others could come.
    if (::fchmod(fd, 0600) != 0) return failed(std::strerror(errno));
    try {
        door_.bind(protocol::endpoint(path_));
    } catch (const std::system_error& e) {  // also of a path that is too long
        return failed(e.code().message());
    }
    const std::lock_guard lock(mutex_);
    listens_ = true;
    struct stat made{};
    if (::lstat(path_.c_str(), &made) != 0) return failed(std::strerror(errno));
    if ((made.st_mode & 0077) != 0) return failed("it would be open to other users");
    door_.listen(asio::socket_base::max_listen_connections, why);
    if (why) return failed(why.message());
    link_.make(path_);
    return {};
}

void admin_server::accept() {
    door_.async_wait(protocol::acceptor::wait_read, [self = shared_from_this()](const asio::error_code& failed) {
        if (failed == asio::error::operation_aborted || !self->door_.is_open()) return;
        auto [fd, shield] =
            failed ? std::pair<int, fork_shield>(-1, fork_shield()) : accept_at(self->door_.native_handle());
        if (fd >= 0) {
            self->admit(fd, std::move(shield));
            return self->accept();
        }
        // No descriptor left, or the like: the door stays, but not as a busy loop.
        self->pause_.expires_after(50ms);
        self->pause_.async_wait([self](const asio::error_code& stopped) {
            if (!stopped && self->door_.is_open()) self->accept();
        });
    });
}

void admin_server::admit(int fd, fork_shield shield) {
    ucred who{};
    socklen_t size = sizeof who;
    const bool known = ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0;
    const auto turn_away = [&] {
        const fork_pause until_it_is_closed;
        shield.lift(until_it_is_closed);
        ::close(fd);
    };
    if (!known || (who.uid != ::geteuid() && who.uid != 0)) {
        facts_->events->publish([&] {
            return happened::connection_refused{who.pid, "a process of another user, at the socket for operators"};
        });
        return turn_away();
    }
    if (connections_.size() >= most_connections) hang_up_on_the_idlest();
    if (connections_.size() >= most_connections) {
        const auto words = admin::refusal_line(
            {"too_many_connections", fmt::format("{} operators are connected, which is as many as may be; "
                                                 "see `ss -xp` for who they are",
                                                 most_connections)});
        (void)!::send(fd, words.data(), words.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        return turn_away();
    }
    protocol::socket peer(on_);
    asio::error_code failed;
    peer.assign(protocol(), fd, failed);
    if (failed) return turn_away();
    const auto made = std::make_shared<admin_connection>(on_, std::move(peer), std::move(shield), facts_);
    connections_.push_back(made);
    made->start([self = shared_from_this(), weak = std::weak_ptr(made)] {
        std::erase(self->connections_, weak.lock());
        self->left_.cancel();
    });
}

/// Who asks nothing keeps nobody out who does.
void admin_server::hang_up_on_the_idlest() {
    const auto idlest = std::ranges::min_element(connections_, {}, [](const auto& c) { return c->idle_since(); });
    if ((*idlest)->idle_since() > admin_connection::clock::now() - idle_limit) return;
    const auto it = *idlest;
    std::erase(connections_, it);
    it->stop();
}

void admin_server::remove() noexcept {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(listens_, false)) return;
    link_.remove();
    ::unlink(path_.c_str());
}

void admin_server::close() noexcept {
    remove();
    asio::post(on_, [self = shared_from_this()] {
        {
            const fork_pause until_it_is_closed;
            self->door_shield_.lift(until_it_is_closed);
            asio::error_code none;
            self->door_.close(none);
        }
        self->pause_.cancel();
        for (const auto& c : std::vector(self->connections_)) c->finish();
    });
}

asio::awaitable<void> admin_server::end(std::shared_ptr<admin_server> self) {
    const auto limit = std::chrono::steady_clock::now() + 500ms;
    asio::error_code woken;
    while (!self->connections_.empty() && std::chrono::steady_clock::now() < limit) {
        self->left_.expires_at(limit);
        co_await self->left_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
    for (const auto& c : std::vector(self->connections_)) c->stop();
}

}  // namespace snakepit::detail
