#pragma once
// What a worker's profile means to the host: how many calls it runs at once.

#include <snakepit/options.hpp>

namespace snakepit::detail {

/// Calls that a worker executes at once.
[[nodiscard]] inline int width_of(const pool_options& o) noexcept {
    switch (o.profile) {
        case worker_profile::thread: return o.threads_per_worker;
        case worker_profile::async: return o.max_concurrency;
        case worker_profile::process: break;
    }
    return 1;
}

/// Its name on the launch line.
[[nodiscard]] inline const char* name_of(worker_profile p) noexcept {
    switch (p) {
        case worker_profile::thread: return "thread";
        case worker_profile::async: return "async";
        case worker_profile::process: break;
    }
    return "process";
}

}  // namespace snakepit::detail
