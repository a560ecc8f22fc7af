#pragma once
// Why a process that imports the user's module is not up, in words. Here alone, for workers and zygotes.

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>

namespace snakepit::detail {

inline constexpr std::chrono::seconds status_limit(1);      ///< from an end to the launcher's word of it; mostly 1 ms
inline constexpr std::chrono::milliseconds dump_time(200);  ///< for a Python stack to be written
inline int dump_signal() noexcept { return SIGRTMIN + 2; }  ///< py/snakepit arms faulthandler for it

/// @param wait_status  as the launcher told it, if it has
[[nodiscard]] worker_exit exit_of(const std::optional<int>& wait_status, std::string output = {},
                                  std::string python_stack = {});

/// It has ended.
/// @param report  why, in its own words, if it had any
[[nodiscard]] error start_failure(const std::string& module, const std::optional<value>& report, worker_exit how);

/// It was given up.
/// @param missing  what was waited for
[[nodiscard]] error start_timeout(const std::string& missing, worker_exit how);
/// What is missing while the module is imported.
[[nodiscard]] std::string import_within(std::chrono::milliseconds limit, const std::string& module);

}  // namespace snakepit::detail
