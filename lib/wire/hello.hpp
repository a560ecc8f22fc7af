#pragma once
// What a worker says of itself when it is up.

#include <snakepit/error.hpp>
#include <snakepit/tools.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace snakepit::v1 {
class Hello;
}

namespace snakepit::detail {

struct worker_hello {
    std::uint32_t protocol_minor = 0;
    std::string lane;
    std::vector<tool_spec> tools;
};

/// @return  or errc::protocol_mismatch naming both versions, errc::protocol_violation for a limit of control.proto
[[nodiscard]] result<worker_hello> checked(const v1::Hello& hello);

}  // namespace snakepit::detail
