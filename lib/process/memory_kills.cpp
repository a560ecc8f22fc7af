#include "process/memory_kills.hpp"

#include <fmt/format.h>
#include <fstream>
#include <optional>

namespace snakepit::detail {
namespace {

std::optional<std::uint64_t> kills_in(const std::string& file) {
    std::ifstream lines(file);
    std::string key;
    std::uint64_t count = 0;
    while (lines >> key >> count)
        if (key == "oom_kill") return count;
    return std::nullopt;
}

}  // namespace

void memory_kills::look(int pid) {
    counters_.clear();
    const auto add = [&](std::string file, std::string where) {
        if (const auto now = kills_in(file)) counters_.push_back({std::move(file), std::move(where), *now});
    };
    // proc(5), cgroups(7): a line is "hierarchy:controllers:path"; version 2 has no controllers.
    std::ifstream groups(fmt::format("/proc/{}/cgroup", pid));
    for (std::string line; std::getline(groups, line);) {
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (second == line.npos) continue;
        const auto controllers = "," + line.substr(first + 1, second - first - 1) + ",";
        const auto path = line.substr(second + 1);
        const auto where = "control group " + path;
        if (controllers.find(",memory,") != line.npos) {
            add("/sys/fs/cgroup/memory" + path + "/memory.oom_control", where);
        } else if (controllers == ",,") {
            add("/sys/fs/cgroup" + path + "/memory.events", where);
            add("/sys/fs/cgroup/unified" + path + "/memory.events", where);
        }
    }
    add("/proc/vmstat", "this machine");
}

std::string memory_kills::since_look() const {
    for (const auto& c : counters_) {
        const auto now = kills_in(c.file);
        if (now && *now > c.value)
            return fmt::format("the kernel killed {} process{} of {} for want of memory ({})", *now - c.value,
                               *now - c.value == 1 ? "" : "es", c.where, c.file);
    }
    return {};
}

}  // namespace snakepit::detail
