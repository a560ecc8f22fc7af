// A host that is killed with eight busy workers: how long until none of its processes is left.

#include "faults/descendants.hpp"
#include "faults/loaded_pool.hpp"
#include "perf_report.hpp"
#include "process/pidfd.hpp"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <filesystem>

namespace snakepit::perf {
namespace {

namespace fs = std::filesystem;

constexpr int workers = 8;
constexpr int rounds = 5;
constexpr auto limit = 30s;

/// The host: keeps all workers busy until it is killed, each with a file that says that its tool has begun.
[[noreturn]] void host(const fs::path& directory) {
    loaded_pool pool(loaded_pool::options(workers));
    const char* const tools[workers] = {"hold_gil", "wait", "spin", "wait", "spin", "wait", "spin", "wait"};
    for (int i = 0; i < workers; ++i)
        async_execute(pool.get(), tools[i], (directory / std::to_string(i)).string(),
                      call_options().timeout(call_options::no_timeout), [](const result<value>&) {});
    for (;;) ::pause();
}

int begin_host(const std::string& self, const fs::path& directory) {
    const int pid = ::fork();
    if (pid == 0) {
        ::execl(self.c_str(), self.c_str(), "host", directory.c_str(), nullptr);
        ::_exit(127);
    }
    return pid;
}

/// Seconds from the host's end to that of the last of its descendants; `limit` when one stays.
double seconds_of_orphans(const std::string& self) {
    auto name = (fs::temp_directory_path() / "snakepit-perf-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary directory");
    const fs::path directory(name);
    ::setenv("XDG_RUNTIME_DIR", name.c_str(), 1);  // the killed host's socket goes with it
    const int pid = begin_host(self, directory);
    wait_until(
        [&] {
            for (int i = 0; i < workers; ++i)
                if (!fs::exists(directory / std::to_string(i))) return false;
            return true;
        },
        "all workers to be busy");

    std::vector<pollfd> alive;
    for (const int child : descendants_of(pid))
        if (auto fd = detail::open_pidfd(child)) alive.push_back({fd.release(), POLLIN, 0});
    if (alive.size() < workers + 1) throw std::runtime_error("the host's processes are not to be found");
    const auto killed = clock::now();
    ::kill(pid, SIGKILL);
    while (!alive.empty() && clock::now() < killed + limit) {
        ::poll(alive.data(), alive.size(), 100);
        std::erase_if(alive, [](const pollfd& p) {
            const bool ended = (p.revents & POLLIN) != 0;
            if (ended) ::close(p.fd);
            return ended;
        });
    }
    const auto took = std::chrono::duration<double>(clock::now() - killed).count();
    for (const auto& p : alive) {
        detail::send_signal(p.fd, SIGKILL);
        ::close(p.fd);
    }
    ::waitpid(pid, nullptr, 0);
    fs::remove_all(directory);
    return took;
}

void run(const std::string& self) {
    std::vector<double> seconds;
    for (int round = 0; round < rounds; ++round) seconds.push_back(seconds_of_orphans(self));
    report r;
    r.row("orphans.seconds_median", median(seconds), "s");
    r.at_most(2, "orphans.seconds", *std::max_element(seconds.begin(), seconds.end()), "s",
              fmt::format("host killed with {} busy workers, one holding the GIL in C; worst of {}", workers, rounds));
}

}  // namespace
}  // namespace snakepit::perf

int main(int argc, char** argv) {
    return snakepit::perf::run_suite("orphans", [&] {
        if (argc == 3 && std::string(argv[1]) == "host") snakepit::perf::host(argv[2]);
        snakepit::perf::run(std::filesystem::canonical("/proc/self/exe").string());
    });
}
