#pragma once
/// @file
/// What a pool logs, and where to.

#include <snakepit/export.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace snakepit {

enum class log_level : std::uint8_t {
    debug,    ///< each call that ends, each move of a worker
    info,     ///< workers that start, leave and are replaced; what they write and log at this level
    warning,  ///< what somebody should look at: deaths, slow calls, blocked loops, degraded groups
    error,    ///< what is broken now: a group or a tool out of service
    off
};

[[nodiscard]] constexpr std::string_view to_string(log_level l) noexcept {
    switch (l) {
        case log_level::debug: return "debug";
        case log_level::info: return "info";
        case log_level::warning: return "warning";
        case log_level::error: return "error";
        case log_level::off: return "off";
    }
    return "unknown";
}

/// One thing that is logged. Texts are UTF-8; values under keys that look like secrets have been replaced.
struct log_record {
    std::chrono::system_clock::time_point time;
    log_level level = log_level::info;
    std::string logger;   ///< "snakepit", or the name of the Python logger, or "stdout", "stderr" of a worker
    std::string message;  ///< one line or more
    /// What is known beside it, in this order: "event", "worker", "incarnation", "tool", "call", "trace_id", "span_id",
    /// and what the event has of its own.
    std::vector<std::pair<std::string, std::string>> fields;
};

/** Called for each record, one at a time, on whatever thread it comes up: must not block, and not call the pool. What
   it throws is lost.

    @par Lifetime  it is kept as long as the pool's state, which a running operation may hold longer than the pool */
using log_sink = std::function<void(const log_record&)>;

/// As the default sink writes it: `2026-01-31T12:00:00.000Z warning snakepit: message key=value ...`, without the end
/// of the line. Values with spaces or quotes are quoted.
[[nodiscard]] SNAKEPIT_API std::string to_line(const log_record& r);

/// What a pool logs. See `pool::set_log_level` for changes at run time.
struct log_options {
    /// The least that is logged.
    log_level level = log_level::warning;
    /// Empty: to stderr by `to_line`, never waiting for it; what it does not take is left out and counted.
    log_sink sink{};
    /// Keys whose values are replaced by "[redacted]": in fields of records, and in messages and lines of output where
    /// they stand before `=` or `:`. Each is looked for within keys, without regard to case. Where there are any, long
    /// tokens behind `Bearer` and private keys in PEM are replaced as well. Empty: nothing is.
    std::vector<std::string> redact{"password", "passwd",        "passphrase", "pwd",         "secret",
                                    "token",    "api_key",       "apikey",     "access_key",  "sessionid",
                                    "db_pass",  "authorization", "credential", "private_key", "cookie"};
};

}  // namespace snakepit
