#pragma once
// Pipes and socket pairs between host, launcher and workers; every descriptor is close-on-exec.

#include "process/unique_fd.hpp"

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <optional>
#include <vector>

namespace snakepit::detail {

struct fd_pair {
    unique_fd first;   ///< read end of a pipe, or one end of a socket pair
    unique_fd second;  ///< write end, or the other end
};

/// errc::launch_failed when the system has no descriptor left.
[[nodiscard]] result<fd_pair> make_pipe();
/// @param type  SOCK_STREAM or SOCK_SEQPACKET
[[nodiscard]] result<fd_pair> make_socket_pair(int type);

/// A message of the launcher's protocol: JSON, and descriptors beside it.
struct packet {
    value body;
    std::vector<unique_fd> fds;
};

/// A text in a message that another process wrote; empty when there is none.
[[nodiscard]] std::string text_of(const value& message, const char* key);

/// Sends one packet on a SOCK_SEQPACKET socket. errc::launch_failed when the other side is gone.
[[nodiscard]] result<void> send_packet(int socket, const value& body, const std::vector<int>& fds);
/// Receives one packet if there is one: nullopt when there is none yet. errc::launch_failed when the other side is
/// gone, or sent what is no packet.
[[nodiscard]] result<std::optional<packet>> receive_packet(int socket);

}  // namespace snakepit::detail
