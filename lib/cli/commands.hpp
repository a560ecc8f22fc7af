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

}  // namespace snakepit::cli
