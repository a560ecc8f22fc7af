#pragma once
// Whether the kernel may have killed a process for want of memory.

#include <cstdint>
#include <string>
#include <vector>

namespace snakepit::detail {

/** Counts the kernel's out-of-memory kills where a process lives: in its control group (version 2: memory.events,
   version 1: memory.oom_control; see cgroups(7)), and on the machine (/proc/vmstat). A process that was killed says
   only "signal 9"; whose doing that was, these counts tell.

    @par Thread safety  one thread at a time */
class memory_kills {
public:
    /// Forgets what was counted until now. Costs some tens of microseconds.
    void look(int pid);
    /// What was counted since, in words; empty when nothing was.
    [[nodiscard]] std::string since_look() const;

private:
    struct counter {
        std::string file;
        std::string where;  ///< in words
        std::uint64_t value = 0;
    };
    std::vector<counter> counters_;  // the narrowest first
};

}  // namespace snakepit::detail
