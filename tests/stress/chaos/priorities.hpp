#pragma once
// How urgent the calls of a run are.

#include "stress/chaos/schedule.hpp"

#include <snakepit/options.hpp>

#include <array>

namespace snakepit::chaos {

/// Any of them.
[[nodiscard]] inline priority priority_of(dice& random) {
    constexpr std::array all = {priority::interactive, priority::normal, priority::batch};
    return all[random(all.size())];
}

}  // namespace snakepit::chaos
