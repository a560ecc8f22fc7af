#pragma once
// Pipes and socket pairs between host, launcher, zygote and workers; every descriptor is close-on-exec.

#include "process/fork_shield.hpp"
#include "process/unique_fd.hpp"

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <optional>
#include <string>
#include <vector>

namespace snakepit::detail {

struct fd_pair {
    unique_fd first;   ///< read end of a pipe, or one end of a socket pair
    unique_fd second;  ///< write end, or the other end
};

/// One end for us, which no child has that the application forks, and one for another process.
struct own_pair {
    shielded_fd ours;
    unique_fd theirs;
};
enum class pipe_end { read, write };

/// errc::launch_failed when the system has no descriptor left.
[[nodiscard]] result<fd_pair> make_pipe();
[[nodiscard]] result<own_pair> make_own_pipe(pipe_end ours);
/// @param type  SOCK_STREAM or SOCK_SEQPACKET
[[nodiscard]] result<own_pair> make_own_socket_pair(int type);
/// @param type  SOCK_STREAM or SOCK_SEQPACKET
[[nodiscard]] result<fd_pair> make_socket_pair(int type);

/// A message between host and launcher or zygote: JSON, and descriptors beside it.
struct packet {
    value body;
    std::vector<unique_fd> fds;
};

/// A text in a message that another process wrote; empty when there is none.
[[nodiscard]] std::string text_of(const value& message, const char* key);

/// Sends one packet on a SOCK_SEQPACKET socket. errc::launch_failed when the other side is gone.
/// @param who  is on the other side, for the error
[[nodiscard]] result<void> send_packet(int socket, const value& body, const std::vector<int>& fds,
                                       const std::string& who);
/// Receives one packet if there is one: nullopt when there is none yet. errc::launch_failed when the other side is
/// gone, or sent what is no packet.
[[nodiscard]] result<std::optional<packet>> receive_packet(int socket, const std::string& who);

}  // namespace snakepit::detail
