#include "cli/run_program.hpp"

#include "process/pidfd.hpp"
#include "process/unique_fd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>

extern char** environ;

namespace snakepit::cli {
namespace {

constexpr std::size_t most_output = std::size_t{64} << 10;

struct pipe_ends {
    detail::unique_fd read;
    detail::unique_fd write;
};

pipe_ends make_pipe() {
    std::array<int, 2> fds{-1, -1};
    if (::pipe2(fds.data(), O_CLOEXEC) != 0) return {};
    return {detail::unique_fd(fds[0]), detail::unique_fd(fds[1])};
}

int spawn(std::vector<std::string>& argv, int out, int err, pid_t& pid) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
    sigset_t piped;
    ::sigemptyset(&piped);
    ::sigaddset(&piped, SIGPIPE);
    ::posix_spawnattr_setsigdefault(&attributes, &piped);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    std::vector<char*> args;
    for (auto& a : argv) args.push_back(a.data());
    args.push_back(nullptr);
    const int failed = ::posix_spawnp(&pid, args[0], &files, &attributes, args.data(), environ);
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
    return failed;
}

/// @return  whether there may be more
bool read_some(int fd, std::string& into) {
    std::array<char, 4096> buffer;
    const auto got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0) return errno == EINTR;
    if (into.size() < most_output) into.append(buffer.data(), static_cast<std::size_t>(got));
    return got > 0;
}

std::string ending(int status) {
    if (WIFSIGNALED(status)) return fmt::format("it was ended by signal {}", WTERMSIG(status));
    return WEXITSTATUS(status) == 0 ? std::string() : fmt::format("its exit code was {}", WEXITSTATUS(status));
}

}  // namespace

program_end run_program(std::vector<std::string> argv, std::chrono::milliseconds limit) {
    program_end end;
    auto out = make_pipe();
    auto err = make_pipe();
    pid_t pid = 0;
    if (!out.read || !err.read) {
        end.problem = fmt::format("no pipe: {}", std::strerror(errno));
        return end;
    }
    if (const int failed = spawn(argv, out.write.get(), err.write.get(), pid)) {
        end.problem = fmt::format("it cannot be run: {}", std::strerror(failed));
        return end;
    }
    out.write.reset();
    err.write.reset();

    const auto deadline = std::chrono::steady_clock::now() + limit;
    const auto left = [&] {
        const auto ms = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        return static_cast<int>(std::max<std::int64_t>(ms.count(), 0));
    };
    std::array<pollfd, 2> ends{{{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}}};
    while (!end.timed_out && (ends[0].fd >= 0 || ends[1].fd >= 0)) {
        const int ready = ::poll(ends.data(), ends.size(), left());
        end.timed_out = ready == 0;
        if (ready <= 0) continue;
        if (ends[0].revents != 0 && !read_some(ends[0].fd, end.out)) ends[0].fd = -1;
        if (ends[1].revents != 0 && !read_some(ends[1].fd, end.err)) ends[1].fd = -1;
    }
    if (const auto ended = detail::open_pidfd(pid); ended && !end.timed_out) {
        pollfd one{ended.get(), POLLIN, 0};
        end.timed_out = ::poll(&one, 1, left()) == 0;
    }
    // Not reaped yet, so the number of its group is nobody else's.
    ::kill(-pid, SIGKILL);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    end.problem = end.timed_out ? fmt::format("it took longer than {} s", limit.count() / 1000) : ending(status);
    return end;
}

}  // namespace snakepit::cli
