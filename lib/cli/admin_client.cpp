#include "cli/admin_client.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace snakepit::cli {
namespace {

using source = admin_failure::source;

admin_failure gone() { return {"pool_gone", "the pool has gone", source::end}; }

admin_failure silent(int pid) {
    auto who = pid == 0 ? std::string("the pool") : fmt::format("process {}", pid);
    return {"no_answer", who + " does not answer: it may be stopped, or its io_context blocked", source::silence};
}

admin_failure cannot_connect(const std::string& path, int why) {
    if (why == EAGAIN) return silent(0);  // so many wait already that the kernel takes no more
    const bool nobody = why == ECONNREFUSED || why == ENOENT;
    return {nobody ? "pool_gone" : "no_answer", fmt::format("{}: {}", path, std::strerror(why)),
            nobody ? source::end : source::silence};
}

}  // namespace

admin_client::admin_client(std::string path, detail::unique_fd socket)
    : path_(std::move(path)), socket_(std::move(socket)) {
    ucred who{};
    socklen_t size = sizeof who;
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return;
    pid_ = who.pid;
    user_ = who.uid;
}

admin_result<admin_client> admin_client::connect(const std::string& path) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    if (path.size() >= sizeof to.sun_path) return tl::unexpected(cannot_connect(path, ENAMETOOLONG));
    path.copy(to.sun_path, path.size());
    // connect() itself would wait for a pool that is stopped, without a limit.
    detail::unique_fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
        return tl::unexpected(cannot_connect(path, errno));
    ::fcntl(socket.get(), F_SETFL, 0);  // what we send always has room
    return admin_client(path, std::move(socket));
}

admin_result<void> admin_client::send(const value& request) {
    const auto line = request.dump(-1, ' ', false, value::error_handler_t::replace) + '\n';
    for (std::string_view left = line; !left.empty();) {
        const auto put = ::send(socket_.get(), left.data(), left.size(), MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR) continue;
        // What the pool had to say before it closed may still be there to read.
        if (put < 0 && errno == EPIPE) return {};
        if (put < 0) return tl::unexpected(gone());
        left.remove_prefix(static_cast<std::size_t>(put));
    }
    return {};
}

admin_result<value> admin_client::hear(milliseconds limit) {
    using clock = std::chrono::steady_clock;
    const auto until = clock::now() + limit;
    for (;;) {
        if (const auto end = in_.find('\n'); end != in_.npos) {
            auto said = value::parse(in_.substr(0, end), nullptr, false);
            in_.erase(0, end + 1);
            if (said.is_object()) return said;
            return tl::unexpected(
                admin_failure{"no_answer", fmt::format("{} speaks another language", path_), source::silence});
        }
        int wait = -1;
        if (limit >= milliseconds(0))
            wait = static_cast<int>(
                std::max(milliseconds(0), std::chrono::ceil<milliseconds>(until - clock::now())).count());
        pollfd what{socket_.get(), POLLIN, 0};
        const int ready = ::poll(&what, 1, wait);
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0) return tl::unexpected(silent(pid_));
        constexpr std::size_t at_once = 16'384;
        std::array<char, at_once> chunk;
        const auto got = ::recv(socket_.get(), chunk.data(), chunk.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return tl::unexpected(gone());
        in_.append(chunk.data(), static_cast<std::size_t>(got));
    }
}

admin_result<value> admin_client::ask(const value& request, milliseconds limit) {
    if (const auto sent = send(request); !sent) return tl::unexpected(sent.error());
    auto reply = hear(limit);
    if (!reply) {
        socket_.reset();
        return reply;
    }
    if (auto why = failure_in(*reply)) return tl::unexpected(std::move(*why));
    return reply;
}

std::optional<admin_failure> failure_in(const value& reply) {
    if (reply.value("ok", false)) return std::nullopt;
    const auto why = reply.value("error", value::object());
    return admin_failure{why.value("code", "unknown"), why.value("message", reply.dump())};
}

}  // namespace snakepit::cli
