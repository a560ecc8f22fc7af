#pragma once
// Ended calls on their way to their callers: one wake-up per executor, however many there are.

#include "pool/call.hpp"

#include <vector>

namespace snakepit::detail {

/// Posts the outcome of each to its executor, those of the same executor as one handler, in order.
void deliver(std::vector<call_ptr> batch);

}  // namespace snakepit::detail
