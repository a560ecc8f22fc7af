#include "process/fork_shield.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <atomic>
#include <vector>

namespace snakepit::detail {
namespace {

constinit std::atomic<bool> forked = false;

/// The mutex is held across a fork, so that the child finds the list whole.
struct registry {
    std::mutex mutex;
    std::vector<bool> shielded;  // by number
};

registry& everything();

void before() { everything().mutex.lock(); }
void in_parent() { everything().mutex.unlock(); }
/// System calls alone: another thread may have been in the middle of anything.
void in_the_child() {
    auto& all = everything();
    const int silent = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const auto count = static_cast<int>(all.shielded.size());
    for (int fd = 0; fd < count; ++fd) {
        if (!all.shielded[static_cast<std::size_t>(fd)]) continue;
        forked = true;
        // Without a descriptor to spare it is closed all the same.
        if (silent < 0 || ::dup3(silent, fd, O_CLOEXEC) < 0) ::close(fd);
    }
    if (silent >= 0) ::close(silent);
    all.mutex.unlock();
}

registry& everything() {
    // Never destroyed: a fork may come as late as it likes.
    static registry& all = *[] {
        auto* made = new registry;
        ::pthread_atfork(before, in_parent, in_the_child);
        return made;
    }();
    return all;
}

}  // namespace

fork_pause::fork_pause() : lock_(everything().mutex) {}

fork_shield::fork_shield(int fd, const fork_pause&) : fd_(fd) {
    if (fd < 0) return;
    auto& shielded = everything().shielded;
    const auto number = static_cast<std::size_t>(fd);
    if (number >= shielded.size()) shielded.resize(number + 1);
    shielded[number] = true;
}

void fork_shield::lift() noexcept {
    if (fd_ >= 0) lift(fork_pause());
}

void fork_shield::lift(const fork_pause&) noexcept {
    if (fd_ >= 0) everything().shielded[static_cast<std::size_t>(std::exchange(fd_, -1))] = false;
}

bool fork_shield::in_child() noexcept { return forked.load(std::memory_order_relaxed); }

void shielded_fd::reset() noexcept {
    if (!fd_) return;
    const fork_pause until_it_is_closed;
    shield_.lift(until_it_is_closed);
    fd_.reset();
}

}  // namespace snakepit::detail
