#pragma once
// What a worker says of its logs and spans, checked.

#include "wire/attachment.hpp"

#include <optional>

namespace snakepit::v1 {
class Telemetry;
}

namespace snakepit::detail {

/// @param t  moved from
/// @return   nothing when it breaks a limit of control.proto
[[nodiscard]] std::optional<heard::telemetry> checked(v1::Telemetry& t);

}  // namespace snakepit::detail
