#pragma once
// What a child that the application forks must not take along.

#include "process/unique_fd.hpp"

#include <mutex>
#include <utility>

namespace snakepit::detail {

/// No fork comes between, as long as it lives. Short: another thread's fork() waits for it.
class fork_pause {
public:
    fork_pause();

private:
    std::unique_lock<std::mutex> lock_;
};

/** A descriptor of ours that somebody else owns and closes, after `lift`.

    In a forked child it is none of ours any more: an eventfd that never has anything to say takes its number, so that
    whatever runs there reaches no worker, the kernel sees the end of the host, and nobody else gets the number that we
    close some day. exec() needs no shield: every descriptor of ours is close-on-exec.

    @par Thread safety  like an int */
class fork_shield {
public:
    fork_shield() = default;
    explicit fork_shield(int fd) : fork_shield(fd, fork_pause()) {}
    fork_shield(int fd, const fork_pause&);
    fork_shield(fork_shield&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    fork_shield& operator=(fork_shield&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~fork_shield() { lift(); }
    void lift() noexcept;
    void lift(const fork_pause&) noexcept;

    /// Whether this process was forked from one that had a shielded descriptor: neither threads nor gRPC have come
    /// along.
    [[nodiscard]] static bool in_child() noexcept;

private:
    int fd_ = -1;
};

/// A descriptor that closes itself, and that no forked child has.
class shielded_fd {
public:
    shielded_fd() = default;
    explicit shielded_fd(unique_fd fd) : shielded_fd(std::move(fd), fork_pause()) {}
    shielded_fd(unique_fd fd, const fork_pause& since_it_was_made)
        : fd_(std::move(fd)), shield_(fd_.get(), since_it_was_made) {}
    shielded_fd(shielded_fd&&) noexcept = default;
    shielded_fd& operator=(shielded_fd&&) noexcept = default;
    ~shielded_fd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_.get(); }
    explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
    /// The descriptor is the caller's to close, once the shield is lifted.
    [[nodiscard]] std::pair<int, fork_shield> release() noexcept { return {fd_.release(), std::move(shield_)}; }
    void reset() noexcept;

private:
    unique_fd fd_;
    fork_shield shield_;
};

}  // namespace snakepit::detail
