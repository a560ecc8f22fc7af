#pragma once
// Which processor a process runs on: where the kernel puts host and worker decides more of an echo's time than
// telemetry does, and it puts them anew every few milliseconds.

#include <sched.h>
#include <sys/types.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace snakepit::perf {

/// Those that this process may use.
inline std::vector<int> usable_cores() {
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) != 0) throw std::system_error(errno, std::generic_category());
    std::vector<int> all;
    for (int i = 0; i < CPU_SETSIZE; ++i)
        if (CPU_ISSET(i, &set)) all.push_back(i);
    return all;
}

/// All its threads, and those that they begin from now on.
inline void keep_to(int core, ::pid_t process) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task"))
        if (::sched_setaffinity(std::stoi(task.path().filename()), sizeof set, &set) != 0 && errno != ESRCH)
            throw std::system_error(errno, std::generic_category(), "sched_setaffinity");
}

}  // namespace snakepit::perf
