#include "stress/chaos/schedule.hpp"

#include <array>

namespace snakepit::chaos {
namespace {

struct likelihood {
    deed what;
    unsigned weight;
    unsigned least;  // of the amount
    unsigned most;
};
constexpr std::array table = {
    likelihood{deed::kill, 20, 0, 0},         likelihood{deed::segfault, 6, 0, 0},
    likelihood{deed::kill_any, 6, 0, 0},      likelihood{deed::pause, 8, 1, 1'500},
    likelihood{deed::exit, 8, 0, 255},        likelihood{deed::hang, 5, 0, 0},
    likelihood{deed::ignore_cancel, 3, 0, 0}, likelihood{deed::hang_in_c, 3, 0, 0},
    likelihood{deed::hold_gil, 8, 1, 400},    likelihood{deed::flood_stderr, 6, 1, 2'000},
    likelihood{deed::raise, 10, 0, 0},        likelihood{deed::leak, 6, 1, 40},
    likelihood{deed::leave_child, 3, 1, 60},  likelihood{deed::recycle, 10, 0, 0},
    likelihood{deed::recycle_all, 3, 0, 0},   likelihood{deed::kill_launcher, 3, 0, 0},
    likelihood{deed::resize, 8, 1, 6},        likelihood{deed::block_loop, 5, 1, 400},
};

/// Steady trouble, blow upon blow, and now and then a moment of peace.
std::chrono::milliseconds pause_before_next(dice& random) {
    switch (random(10)) {
        case 0: return std::chrono::milliseconds(random.between(500, 1'000));
        case 1:
        case 2: return std::chrono::milliseconds(random(5));
        default: return std::chrono::milliseconds(random.between(10, 200));
    }
}

}  // namespace

std::vector<planned> make_schedule(std::uint64_t seed, std::chrono::milliseconds length) {
    dice random(seed);
    std::vector<planned> all;
    for (auto at = pause_before_next(random); at < length; at += pause_before_next(random)) {
        const auto& row = table[random.weighted(table)];
        all.push_back({at, row.what, random(1'000), random.between(row.least, row.most)});
    }
    return all;
}

std::string_view to_string(deed d) {
    switch (d) {
        case deed::kill: return "kill";
        case deed::segfault: return "segfault";
        case deed::kill_any: return "kill_any";
        case deed::kill_launcher: return "kill_launcher";
        case deed::pause: return "pause";
        case deed::exit: return "exit";
        case deed::hang: return "hang";
        case deed::ignore_cancel: return "ignore_cancel";
        case deed::hang_in_c: return "hang_in_c";
        case deed::hold_gil: return "hold_gil";
        case deed::block_loop: return "block_loop";
        case deed::flood_stderr: return "flood_stderr";
        case deed::raise: return "raise";
        case deed::leak: return "leak";
        case deed::leave_child: return "leave_child";
        case deed::recycle: return "recycle";
        case deed::recycle_all: return "recycle_all";
        case deed::resize: return "resize";
    }
    return "?";
}

}  // namespace snakepit::chaos
