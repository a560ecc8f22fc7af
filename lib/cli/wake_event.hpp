#pragma once
// Ends a thread's wait for a descriptor.

#include "process/unique_fd.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cerrno>
#include <cstdint>
#include <system_error>

namespace snakepit::cli {

/** @par Thread safety  safe */
class wake_event {
public:
    wake_event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (!fd_) throw std::system_error(errno, std::generic_category(), "eventfd");
    }
    /// For good: every wait from now on ends at once.
    void set() const noexcept {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(fd_.get(), &one, sizeof one);
    }
    /// Until `fd` is ready. @return  whether it is; false when the event was set
    [[nodiscard]] bool wait_for(int fd, short events) const noexcept {
        pollfd both[] = {{fd, events, 0}, {fd_.get(), POLLIN, 0}};
        while (::poll(both, 2, -1) < 0 && errno == EINTR) {
        }
        return both[1].revents == 0;
    }

private:
    detail::unique_fd fd_;
};

}  // namespace snakepit::cli
