#pragma once
// What /proc says about a process.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace snakepit::detail {

struct process_facts {
    char state = '?';                 ///< as in proc(5): R, S, D, T, Z, ...
    std::chrono::milliseconds cpu{};  ///< that it has used, system time included
    int threads = 0;

    [[nodiscard]] bool is_stopped() const noexcept { return state == 'T' || state == 't'; }
};

/// @return  nothing when there is no such process
[[nodiscard]] std::optional<process_facts> facts_of(int pid);

/// What a process got of the processors that it wanted.
struct processor_need {
    std::chrono::nanoseconds
        waited{};               ///< its threads together, for their turns until now; those that have ended: none
    bool has_runnable = false;  ///< a thread of it runs, or waits to
};

/// Reads two files for each thread. Where the kernel does not tell (CONFIG_SCHED_INFO), nothing has waited.
[[nodiscard]] processor_need processor_need_of(int pid);

/// The id of one of its threads that has this name, of at most 15 bytes; nothing when there is none.
[[nodiscard]] std::optional<int> thread_named(int pid, std::string_view name);

/// When it was started, in the kernel's ticks since boot: with the pid it names a process for good.
/// @return  nothing when there is no such process
[[nodiscard]] std::optional<std::uint64_t> start_time_of(int pid);

/// How many descriptors it has open; nothing when there is no such process, or it is not ours to look at.
[[nodiscard]] std::optional<std::size_t> open_descriptors_of(int pid);

/// Resident memory; 0 when there is no such process.
[[nodiscard]] std::uint64_t resident_bytes_of(int pid);

}  // namespace snakepit::detail
