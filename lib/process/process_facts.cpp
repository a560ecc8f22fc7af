#include "process/process_facts.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace snakepit::detail {

std::optional<process_facts> facts_of(int pid) {
    std::ifstream file(fmt::format("/proc/{}/stat", pid));
    std::string line;
    if (!std::getline(file, line)) return std::nullopt;
    // proc(5): the second field, the name in brackets, may hold anything; utime is the 14th, stime the 15th.
    const auto name_end = line.rfind(')');
    if (name_end == line.npos) return std::nullopt;
    std::istringstream fields(line.substr(name_end + 1));
    process_facts found;
    fields >> found.state;
    std::string skipped;
    for (int field = 4; field < 14; ++field) fields >> skipped;
    std::int64_t user = 0;
    std::int64_t system = 0;
    if (!(fields >> user >> system)) return std::nullopt;
    found.cpu = std::chrono::milliseconds((user + system) * 1000 / ::sysconf(_SC_CLK_TCK));
    return found;
}

std::uint64_t resident_bytes_of(int pid) {
    std::ifstream statm(fmt::format("/proc/{}/statm", pid));
    std::uint64_t size = 0;
    std::uint64_t resident = 0;
    statm >> size >> resident;
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace snakepit::detail
