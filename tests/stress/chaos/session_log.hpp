#pragma once
// What those who use sessions in a run share.

#include "stress/chaos/session_history.hpp"
#include "stress/chaos/violation.hpp"

#include <cstdint>
#include <vector>

namespace snakepit::chaos {

struct session_log {
    session_history seen;
    std::vector<violation> surprises;  ///< errors that nothing in the load asks for
    std::uint64_t last_number = 0;     ///< of a value
    std::uint64_t last_observer = 0;

    [[nodiscard]] std::uint64_t next_number() { return ++last_number; }
    [[nodiscard]] std::uint64_t next_observer() { return ++last_observer; }
};

}  // namespace snakepit::chaos
