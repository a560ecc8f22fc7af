#pragma once
// Processes by descriptor: never another one that has got the number since. (pidfd_open(2), pidfd_send_signal(2))
//
// By syscall, since glibc 2.36 declares these for C alone.

#include "process/unique_fd.hpp"

#include <sys/syscall.h>
#include <unistd.h>

namespace snakepit::detail {

/// Close-on-exec. Empty when there is no such process, or no descriptor left.
[[nodiscard]] inline unique_fd open_pidfd(int pid) noexcept {
    return unique_fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0u)));
}

/// @param signal  0: only whether it can be sent
/// @return  whether the process was there; it may be a zombie
inline bool send_signal(int pidfd, int signal) noexcept {
    return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0u) == 0;
}

}  // namespace snakepit::detail
