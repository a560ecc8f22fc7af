#include "cli/doctor_report.hpp"
#include "process/pidfd.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>

namespace snakepit::cli {
namespace {

constexpr auto remedy = "run a newer kernel; in a container, one whose seccomp profile allows it";
constexpr auto look = "uname -r; grep Seccomp /proc/self/status";

bool examine(bool works, const char* name, const char* what_for, doctor_report& into) {
    const auto why = works ? std::string() : std::string(std::strerror(errno));
    if (works) into.add(level::ok, "kernel", fmt::format("{} works", name));
    else into.add(level::problem, "kernel", fmt::format("{} fails: {}; {}", name, why, what_for), remedy, look);
    return works;
}

}  // namespace

void examine_kernel(doctor_report& into) {
    const auto process = detail::open_pidfd(::getpid());
    const bool pidfd = process && detail::send_signal(process.get(), 0);
    const detail::unique_fd memory(::memfd_create("snakepit-doctor", MFD_CLOEXEC));
    into.facts["kernel"]["pidfd"] = examine(pidfd, "pidfd_open", "workers are watched by it (Linux 5.3)", into);
    into.facts["kernel"]["memfd"] =
        examine(static_cast<bool>(memory), "memfd_create", "what a worker leaves behind is kept in one", into);
}

}  // namespace snakepit::cli
