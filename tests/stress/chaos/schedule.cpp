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
constexpr std::array<likelihood, deeds> table = {{
    {deed::kill, 20, 0, 0},
    {deed::segfault, 6, 0, 0},
    {deed::pause, 8, 1, 1'500},
    {deed::exit, 8, 0, 255},
    {deed::hang, 5, 0, 0},
    {deed::ignore_cancel, 3, 0, 0},
    {deed::hang_in_c, 3, 0, 0},
    {deed::hold_gil, 8, 1, 400},
    {deed::flood_stderr, 6, 1, 2'000},
    {deed::raise, 10, 0, 0},
    {deed::leak, 6, 1, 40},
    {deed::leave_child, 4, 0, 0},
    {deed::recycle, 10, 0, 0},
    {deed::recycle_all, 3, 0, 0},
}};

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

std::vector<planned> make_schedule(std::uint64_t seed, std::chrono::milliseconds length, unsigned workers) {
    dice random(seed);
    std::vector<planned> all;
    for (auto at = pause_before_next(random); at < length; at += pause_before_next(random)) {
        const auto& row = table[random.weighted(table)];
        all.push_back({at, row.what, random(workers), random.between(row.least, row.most)});
    }
    return all;
}

std::string_view to_string(deed d) {
    switch (d) {
        case deed::kill: return "kill";
        case deed::segfault: return "segfault";
        case deed::pause: return "pause";
        case deed::exit: return "exit";
        case deed::hang: return "hang";
        case deed::ignore_cancel: return "ignore_cancel";
        case deed::hang_in_c: return "hang_in_c";
        case deed::hold_gil: return "hold_gil";
        case deed::flood_stderr: return "flood_stderr";
        case deed::raise: return "raise";
        case deed::leak: return "leak";
        case deed::leave_child: return "leave_child";
        case deed::recycle: return "recycle";
        case deed::recycle_all: return "recycle_all";
    }
    return "?";
}

}  // namespace snakepit::chaos
