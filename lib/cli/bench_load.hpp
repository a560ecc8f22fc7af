#pragma once
// So many callers in a closed loop: each makes its next call when the last one has ended.

#include <snakepit/pool.hpp>

#include <asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace snakepit::cli {

struct load {
    std::string tool;
    value arguments;
    call_options options;
    int concurrency = 1;
    std::chrono::nanoseconds time{};
};

struct load_outcome {
    int concurrency = 0;
    std::uint64_t calls = 0;  ///< that have ended, errors among them
    std::uint64_t errors = 0;
    std::optional<error> first_error;
    double per_second = 0;  ///< without errors, as what follows
    double p50 = 0;         ///< seconds, as the next; 0 when all are errors
    double p99 = 0;
    double longest = 0;
};

/// Cancellation: terminal; the caller's is over then, too, and will not be heard again.
/// @return  nothing: it was cancelled before its end
[[nodiscard]] asio::awaitable<std::optional<load_outcome>> run_load(pool& on, load what);

}  // namespace snakepit::cli
