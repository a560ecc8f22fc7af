#pragma once
// What is done to the workers, and when: the same from the same seed.

#include <chrono>
#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

namespace snakepit::chaos {

enum class deed {
    kill,           ///< SIGKILL
    segfault,       ///< SIGSEGV
    kill_any,       ///< SIGKILL for one of the launcher's children: a worker in whatever state, the zygote
    kill_launcher,  ///< SIGKILL
    pause,          ///< SIGSTOP, and SIGCONT after `amount` milliseconds
    exit,           ///< a tool ends its process with exit code `amount`
    hang,           ///< a tool waits for ever; cancelling ends it
    ignore_cancel,  ///< a tool goes on for ever, whoever asks it to stop
    hang_in_c,      ///< a tool waits for ever and lets no other thread run
    hold_gil,       ///< the same for `amount` milliseconds
    block_loop,     ///< an async tool does not let others go on for `amount` milliseconds
    flood_stderr,   ///< a tool writes `amount` KiB
    raise,          ///< a tool raises
    leak,           ///< a tool keeps `amount` MiB
    leave_child,    ///< a tool leaves a process behind, in a session of its own, for `amount` seconds
    recycle,        ///< one worker is replaced
    recycle_all,    ///< all are, with a module imported anew
    resize          ///< from now on there are `amount` workers
};

[[nodiscard]] std::string_view to_string(deed d);

struct planned {
    std::chrono::milliseconds at{};  ///< from the beginning
    deed what{};
    unsigned who = 0;  ///< which one of those that there are then: modulo their number
    unsigned amount = 0;
};

/// Random numbers that are the same with every standard library.
class dice {
public:
    explicit dice(std::uint64_t seed) : engine_(seed) {}
    /// From 0 to n - 1.
    unsigned operator()(unsigned n) { return static_cast<unsigned>(engine_() % n); }
    unsigned between(unsigned least, unsigned most) { return least + (*this)(most - least + 1); }
    /// Index of one of the weights, the heavier the more likely.
    template <class Table>
    std::size_t weighted(const Table& table) {
        unsigned sum = 0;
        for (const auto& row : table) sum += row.weight;
        auto left = (*this)(sum);
        std::size_t i = 0;
        while (left >= table[i].weight) left -= table[i++].weight;
        return i;
    }

private:
    std::mt19937_64 engine_;
};

[[nodiscard]] std::vector<planned> make_schedule(std::uint64_t seed, std::chrono::milliseconds length);

}  // namespace snakepit::chaos
