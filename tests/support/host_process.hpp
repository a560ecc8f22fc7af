#pragma once
// A host in a process of its own (tests/fault/host), and processes that are watched by pidfd.

#include "support/pool_fixture.hpp"

#include "process/channels.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace snakepit::test {

/// A process that is alive when the watch begins. None is ever taken for it that gets its number later.
class watched_process {
public:
    explicit watched_process(int pid);
    [[nodiscard]] int pid() const noexcept { return pid_; }
    /// Whether it has ended; a zombie has.
    [[nodiscard]] bool is_gone(clock::duration within = {}) const;
    void kill(int signal) const;

private:
    int pid_;
    detail::unique_fd pidfd_;
};

/// @return  those that live on at the end of `limit`, in words; empty when all are gone
[[nodiscard]] std::string survivors(const std::vector<watched_process>& of, clock::duration limit);

/** tests/fault/host/main.cpp. Killed at the end of the object, and reaped.

    @par Thread safety  use it on one thread */
class host_process {
public:
    struct config {
        std::string method = "fork";
        int workers = 2;
        fs::path scratch;
        fs::path runtime;                           ///< $XDG_RUNTIME_DIR
        std::string socket_directory;               ///< empty: below `runtime`
        std::string marker;                         ///< "NAME=text" of its environment
        bool fast_pulse = false;                    ///< heartbeats of 200 ms, else of a minute
        std::vector<std::string> environment = {};  ///< more of it, "NAME=text" each
    };
    explicit host_process(const config& how);
    ~host_process();
    host_process(const host_process&) = delete;
    host_process& operator=(const host_process&) = delete;

    [[nodiscard]] const watched_process& process() const noexcept { return *process_; }
    void tell(const std::string& command) const;
    /// The next line that begins so, without its beginning; others stay to be heard. Fails the test after a while.
    std::string hear(const std::string& beginning, clock::duration limit = 20s * slow);
    /// Pids and incarnations, as the pool says.
    std::vector<std::pair<int, int>> workers();

private:
    detail::unique_fd in_;
    detail::unique_fd out_;
    std::string heard_;
    std::optional<watched_process> process_;
};

/// Base of tests with such hosts. What a killed one leaves in the runtime directory is not looked for at the end.
class HostTest : public PoolTest {
protected:
    [[nodiscard]] host_process::config config(int workers, const std::string& method = "fork") const;
    /// Processes whose tools have noted themselves, once there are so many.
    [[nodiscard]] std::vector<watched_process> held(std::size_t count) const;
    /// Launcher, zygote and workers of the host, on top of those that are known.
    static void add_children(const host_process& of, std::vector<watched_process>& known);
    void TearDown() override;
    /// From the host's end to the end of all that it has started.
    static constexpr auto limit = 2s * slow;
};

}  // namespace snakepit::test
