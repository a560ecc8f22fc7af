#pragma once
// What the admin socket answers to those who only look.

#include <snakepit/events.hpp>
#include <snakepit/value.hpp>

#include <chrono>
#include <vector>

namespace snakepit::detail {

class pool_impl;

namespace admin {

/// When the pool was started.
struct birth {
    std::chrono::system_clock::time_point date = std::chrono::system_clock::now();
    std::chrono::steady_clock::time_point time = std::chrono::steady_clock::now();
};

/// On the pool's strand.
[[nodiscard]] value status_of(const pool_impl& pool, const birth& when);
[[nodiscard]] value workers_of(const pool_impl& pool);
[[nodiscard]] value list_of(const std::vector<event>& events);

}  // namespace admin
}  // namespace snakepit::detail
