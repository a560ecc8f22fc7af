#include "process/channels.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace snakepit::detail {
namespace {

constexpr std::size_t most_fds = 8;
constexpr std::size_t most_bytes = 256 << 10;  // a failed import with its traceback, escaped

error system_failure(const std::string& what) {
    return {errc::launch_failed, fmt::format("{}: {}", what, std::strerror(errno))};
}

}  // namespace

result<fd_pair> make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return tl::unexpected(system_failure("cannot make a pipe"));
    return fd_pair{unique_fd(ends[0]), unique_fd(ends[1])};
}

result<own_pair> make_own_pipe(pipe_end ours) {
    const fork_pause no_fork;
    auto ends = make_pipe();
    if (!ends) return tl::unexpected(ends.error());
    if (ours == pipe_end::write) std::swap(ends->first, ends->second);
    return own_pair{shielded_fd(std::move(ends->first), no_fork), std::move(ends->second)};
}

result<own_pair> make_own_socket_pair(int type) {
    const fork_pause no_fork;
    auto ends = make_socket_pair(type);
    if (!ends) return tl::unexpected(ends.error());
    return own_pair{shielded_fd(std::move(ends->first), no_fork), std::move(ends->second)};
}

result<fd_pair> make_socket_pair(int type) {
    int ends[2];
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0)
        return tl::unexpected(system_failure("cannot make a socket pair"));
    return fd_pair{unique_fd(ends[0]), unique_fd(ends[1])};
}

std::string text_of(const value& message, const char* key) {
    const auto it = message.find(key);
    return it != message.end() && it->is_string() ? it->get<std::string>() : std::string();
}

result<void> send_packet(int socket, const value& body, const std::vector<int>& fds, const std::string& who) {
    auto text = body.dump(-1, ' ', false, value::error_handler_t::replace);
    iovec data{text.data(), text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * most_fds)> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
        cmsghdr* head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
        std::memcpy(CMSG_DATA(head), fds.data(), sizeof(int) * fds.size());
    }
    while (::sendmsg(socket, &message, MSG_NOSIGNAL) < 0)
        if (errno != EINTR) return tl::unexpected(system_failure("cannot reach " + who));
    return {};
}

result<std::optional<packet>> receive_packet(int socket, const std::string& who) {
    std::string text(most_bytes, '\0');
    iovec data{text.data(), text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * most_fds)> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
    if (got < 0) return tl::unexpected(system_failure("cannot hear " + who));

    packet p;
    for (cmsghdr* head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
        std::vector<int> fds((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        std::memcpy(fds.data(), CMSG_DATA(head), fds.size() * sizeof(int));
        for (const int fd : fds) p.fds.emplace_back(fd);
    }
    if (got == 0) return tl::unexpected(error(errc::launch_failed, who + " ended"));
    text.resize(static_cast<std::size_t>(got));
    p.body = value::parse(text, nullptr, false);
    if (!p.body.is_object()) return tl::unexpected(error(errc::launch_failed, who + " sent no JSON"));
    return p;
}

}  // namespace snakepit::detail
