#include "cli/doctor_report.hpp"
#include "wire/socket_directory.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <algorithm>
#include <fstream>
#include <string>

namespace snakepit::cli {
namespace {

constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;

std::string in_mebibytes(std::uint64_t bytes) { return grouped(bytes / mebibyte) + " MiB"; }

/// A number in a file of /sys; nothing when there is none ("max").
std::optional<std::uint64_t> number_in(const std::string& file) {
    std::ifstream in(file);
    std::uint64_t n = 0;
    return in >> n ? std::optional(n) : std::nullopt;
}

/// What our control group and those above it may have of memory.
std::optional<std::uint64_t> memory_limit() {
    std::optional<std::uint64_t> least;
    const auto add = [&](const std::string& file) {
        if (const auto n = number_in(file)) least = std::min(least.value_or(*n), *n);
    };
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        const auto second = line.rfind(':');
        const bool v2 = line.starts_with("0::");
        if (second == line.npos || (!v2 && line.find(":memory:") == line.npos)) continue;
        const std::string root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
        const char* file = v2 ? "/memory.max" : "/memory.limit_in_bytes";
        auto path = line.substr(second + 1);
        for (;;) {
            while (!path.empty() && path.back() == '/') path.pop_back();
            add(root + path + file);
            if (path.empty()) break;
            path.resize(path.rfind('/') == path.npos ? 0 : path.rfind('/'));
        }
    }
    return least;
}

void examine_memory(value& facts, doctor_report& into) {
    const auto total =
        static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const auto limit = memory_limit();
    const bool limited = limit && *limit < total;
    const auto usable = limited ? *limit : total;
    facts["memory_bytes"] = total;
    facts["cgroup_memory_bytes"] = limited ? value(*limit) : value(nullptr);
    constexpr auto scarce = 256 * mebibyte;
    into.add(usable < scarce ? level::warning : level::ok, "limits",
             fmt::format("memory: {}{}", in_mebibytes(total),
                         limited ? fmt::format(", of which this control group may use {}", in_mebibytes(*limit)) : ""),
             usable < scarce ? "a worker takes 30 MiB and what its module needs: run fewer, or allow more memory" : "");
}

void examine_rlimit(int which, const char* name, const char* what, std::uint64_t wanted, value& facts,
                    doctor_report& into) {
    rlimit limit{};
    if (::getrlimit(static_cast<__rlimit_resource_t>(which), &limit) != 0) return;
    const bool none = limit.rlim_cur == RLIM_INFINITY;
    facts[name] = none ? value(nullptr) : value(static_cast<std::uint64_t>(limit.rlim_cur));
    const bool low = !none && limit.rlim_cur < wanted;
    into.add(low ? level::warning : level::ok, "limits",
             fmt::format("{}: {}", what, none ? std::string("no limit") : grouped(limit.rlim_cur)),
             low ? fmt::format("raise it with ulimit -{} {}, or in /etc/security/limits.conf",
                               which == RLIMIT_NOFILE ? 'n' : 'u', wanted)
                 : "",
             low ? fmt::format("ulimit -{} {}", which == RLIMIT_NOFILE ? 'n' : 'u', wanted) : "");
}

void examine_shared_memory(value& facts, doctor_report& into) {
    struct statvfs s{};
    constexpr auto scarce = 16 * mebibyte;
    const bool there = ::statvfs("/dev/shm", &s) == 0;
    const auto bytes = there ? static_cast<std::uint64_t>(s.f_bavail) * s.f_frsize : 0;
    facts["shm_free_bytes"] = there ? value(bytes) : value(nullptr);
    const bool low = bytes < scarce;
    into.add(low ? level::warning : level::ok, "limits",
             there ? fmt::format("/dev/shm: {} free", in_mebibytes(bytes)) : std::string("/dev/shm is not there"),
             low ? "tools that use multiprocessing need it: make it larger, in a container with --shm-size" : "",
             !low    ? ""
             : there ? "sudo mount -o remount,size=1G /dev/shm"
                     : "sudo mkdir -p /dev/shm && sudo mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm");
}

void examine_socket(doctor_report& into) {
    auto& facts = into.facts["socket"] = {{"path", nullptr}, {"private", false}, {"path_bytes", nullptr}};
    const auto made = detail::socket_directory::make("");
    if (!made)
        return into.add(level::problem, "socket", made.error().message(),
                        "name a directory in pool_options::socket_directory, or start the program with TMPDIR or "
                        "XDG_RUNTIME_DIR set to one: a short path, and only you can write there, or it is sticky as "
                        "/tmp is",
                        "install -d -m 700 ~/.snakepit && XDG_RUNTIME_DIR=~/.snakepit snakepit doctor");
    facts["path"] = made->socket_path();
    facts["path_bytes"] = made->socket_path().size();
    facts["private"] = true;
    into.add(
        level::ok, "socket",
        fmt::format("sockets can be private: {} ({} bytes of 107)", made->socket_path(), made->socket_path().size()));
}

}  // namespace

void examine_system(doctor_report& into) {
    examine_socket(into);
    value facts = value::object();
    cpu_set_t set;
    const int processors = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    facts["processors"] = processors;
    into.add(level::ok, "limits", fmt::format("processors for us: {}", processors));
    examine_memory(facts, into);
    constexpr std::uint64_t files = 1024;
    constexpr std::uint64_t processes = 256;
    examine_rlimit(RLIMIT_NOFILE, "open_files", "open files", files, facts, into);
    examine_rlimit(RLIMIT_NPROC, "processes", "processes and threads of this user", processes, facts, into);
    examine_shared_memory(facts, into);
    into.facts["limits"] = std::move(facts);
}

}  // namespace snakepit::cli
