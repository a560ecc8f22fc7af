#include "process/strays.hpp"

#include "process/pidfd.hpp"

#include <sys/resource.h>
#include <unistd.h>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <random>
#include <set>

namespace snakepit::detail {
namespace {
namespace fs = std::filesystem;

constexpr auto least = stray_mark{1} << 32;  // as in _strays.py
constexpr auto most = stray_mark{1} << 62;

bool has_one(int pid, const std::set<stray_mark>& marks) {
    rlimit found{};
    return ::prlimit(pid, RLIMIT_LOCKS, nullptr, &found) == 0 && marks.contains(found.rlim_cur);
}

std::set<int> processes_with(const std::set<stray_mark>& marks) {
    std::set<int> found;
    std::error_code failed;
    for (fs::directory_iterator at("/proc", failed), end; !failed && at != end; at.increment(failed)) {
        const auto name = at->path().filename().string();
        int pid = 0;
        const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (parsed.ptr == name.data() + name.size() && pid > 0 && has_one(pid, marks)) found.insert(pid);
    }
    return found;
}

}  // namespace

stray_mark random_mark() {
    std::random_device source;
    return std::uniform_int_distribution<stray_mark>(least, most)(source);
}

void end_strays(std::set<stray_mark> marks) {
    // They may come from a file: nobody's limit is taken for a mark.
    std::erase_if(marks, [](stray_mark m) { return m < least || m > most; });
    std::set<int> killed;
    for (bool more = !marks.empty(); more;) {
        more = false;
        for (const int pid : processes_with(marks)) {
            if (!killed.insert(pid).second) continue;
            more = true;
            const auto pidfd = open_pidfd(pid);
            // Looked at again: the pidfd may be of a process that has got the number since.
            if (pidfd && has_one(pid, marks)) send_signal(pidfd.get(), SIGKILL);
        }
    }
}

}  // namespace snakepit::detail
