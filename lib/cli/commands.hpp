#pragma once
// The subcommands. Each adds itself to the command line and gives what to run when it was chosen.

#include <functional>

namespace CLI {
class App;
}

namespace snakepit::cli {

using command = std::function<int()>;

[[nodiscard]] command add_call(CLI::App& to);
[[nodiscard]] command add_map(CLI::App& to);
[[nodiscard]] command add_tools(CLI::App& to);
[[nodiscard]] command add_doctor(CLI::App& to);
[[nodiscard]] command add_bench(CLI::App& to);
[[nodiscard]] command add_completion(CLI::App& to);

// Of operators, for pools that run.
[[nodiscard]] command add_ps(CLI::App& to);
[[nodiscard]] command add_status(CLI::App& to);
[[nodiscard]] command add_workers(CLI::App& to);
[[nodiscard]] command add_top(CLI::App& to);
[[nodiscard]] command add_stack(CLI::App& to);
[[nodiscard]] command add_drain(CLI::App& to);
[[nodiscard]] command add_resume(CLI::App& to);
[[nodiscard]] command add_recycle(CLI::App& to);
[[nodiscard]] command add_resize(CLI::App& to);
[[nodiscard]] command add_kill(CLI::App& to);
[[nodiscard]] command add_loglevel(CLI::App& to);
[[nodiscard]] command add_events(CLI::App& to);

}  // namespace snakepit::cli
