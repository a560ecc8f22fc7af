#include "process/process_facts.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace snakepit::detail {

namespace {

/// proc(5): the second field, the name in brackets, may hold anything. @return  the fields from the third on
std::istringstream stat_in(const std::filesystem::path& directory) {
    std::ifstream file(directory / "stat");
    std::string line;
    std::getline(file, line);
    const auto name_end = line.rfind(')');
    return std::istringstream(name_end == line.npos ? std::string() : line.substr(name_end + 1));
}

std::istringstream stat_of(int pid) { return stat_in(fmt::format("/proc/{}", pid)); }

void skip(std::istringstream& fields, int count) {
    std::string skipped;
    for (int i = 0; i < count; ++i) fields >> skipped;
}

}  // namespace

std::optional<process_facts> facts_of(int pid) {
    auto fields = stat_of(pid);
    process_facts found;
    fields >> found.state;
    skip(fields, 10);  // utime is the 14th, stime the 15th
    std::int64_t user = 0;
    std::int64_t system = 0;
    if (!(fields >> user >> system)) return std::nullopt;
    found.cpu = std::chrono::milliseconds((user + system) * 1000 / ::sysconf(_SC_CLK_TCK));
    skip(fields, 4);  // num_threads is the 20th
    fields >> found.threads;
    return found;
}

processor_need processor_need_of(int pid) {
    processor_need found;
    std::error_code gone;
    for (const auto& thread : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), gone)) {
        std::ifstream schedstat(thread.path() / "schedstat");  // nanoseconds on a processor, and waiting for one
        std::int64_t ran = 0;
        std::int64_t waited = 0;
        if (schedstat >> ran >> waited) found.waited += std::chrono::nanoseconds(waited);
        char state = '?';
        stat_in(thread.path()) >> state;
        found.has_runnable = found.has_runnable || state == 'R';
    }
    return found;
}

std::optional<int> thread_named(int pid, std::string_view name) {
    std::error_code gone;
    for (std::filesystem::directory_iterator at(fmt::format("/proc/{}/task", pid), gone), end; !gone && at != end;
         at.increment(gone)) {
        std::ifstream comm(at->path() / "comm");
        std::string its_name;
        if (std::getline(comm, its_name) && its_name == name) return std::stoi(at->path().filename());
    }
    return std::nullopt;
}

std::optional<std::uint64_t> start_time_of(int pid) {
    auto fields = stat_of(pid);
    skip(fields, 19);  // starttime is the 22nd
    std::uint64_t ticks = 0;
    return fields >> ticks ? std::optional(ticks) : std::nullopt;
}

std::optional<std::size_t> open_descriptors_of(int pid) {
    std::error_code gone;
    const std::filesystem::directory_iterator all(fmt::format("/proc/{}/fd", pid), gone);
    if (gone) return std::nullopt;
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::uint64_t resident_bytes_of(int pid) {
    std::ifstream statm(fmt::format("/proc/{}/statm", pid));
    std::uint64_t size = 0;
    std::uint64_t resident = 0;
    statm >> size >> resident;
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace snakepit::detail
