#pragma once
// What a pool knows of itself, as JSON: times in seconds, names as in stats.hpp.

#include <snakepit/stats.hpp>
#include <snakepit/value.hpp>

namespace snakepit::detail {

[[nodiscard]] value json_of(const call_stats& s);
/// With its name and what is out of service.
[[nodiscard]] value json_of(const group_stats& s);
/// With "cpu", the processor time that its process has used; null when there is none.
[[nodiscard]] value json_of(const worker_stats& s);

}  // namespace snakepit::detail
