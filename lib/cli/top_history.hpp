#pragma once
// What `snakepit top` knows of a pool: the last samples, and what they say about the time between.

#include "cli/admin_client.hpp"
#include "cli/latencies.hpp"

#include <snakepit/value.hpp>

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>

namespace snakepit::cli {

struct worker_history {
    std::deque<double> rates;          ///< calls per second
    std::optional<double> processors;  ///< that it used, of 1
    std::uint64_t calls = 0;
    double cpu = 0;
    int pid = 0;
    bool is_there = false;  ///< in the newest sample
};

struct top_history {
    static constexpr std::size_t kept = 60;
    using clock = std::chrono::steady_clock;

    value status = value::object();
    value workers = value::array();
    histogram durations;
    histogram recent;            ///< of the calls that ended since the sample before; of all of them, when none did
    std::optional<double> rate;  ///< calls that ended, per second
    std::optional<double> error_rate;  ///< part of them that failed
    std::deque<double> rates;
    std::map<std::string, worker_history> by_worker;

    /// Asks the pool for one more, and waits for it.
    [[nodiscard]] admin_result<void> sample(admin_client& from);
    /// Adds one. @param metrics  as Prometheus reads them; nothing: there are none
    void add(value newest, value all_workers, const std::optional<std::string>& metrics);

private:
    void note_calls(const value& status, double seconds);
    void note_workers(const value& all, double seconds);

    std::optional<clock::time_point> when_;
};

}  // namespace snakepit::cli
