#pragma once
// Which of the running pools a command is for.

#include "cli/admin_client.hpp"

#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace snakepit::cli {

struct pool_choice {
    std::string pool;  ///< a pid, the path of a socket or of its directory, or a module; empty: the only one
    bool json = false;
};
/// --pool and --json.
void add_pool_choice(CLI::App& to, pool_choice& into);

/// A pool that listens, and what it says of itself.
struct running_pool {
    admin_client client;
    std::optional<value> status{};  ///< nothing: it does not answer
    std::string trouble{};          ///< why not
};
/// Those of this user on this machine. Links to sockets of pools that are no more are removed on the way.
[[nodiscard]] std::vector<running_pool> running_pools();

/// @return  nothing when there is not exactly one that fits; complains then
[[nodiscard]] std::optional<admin_client> choose(const pool_choice& choice);

/** Asks the pool chosen, and prints the reply as JSON if that is wanted, else what `words` makes of it; nothing where
    that is empty.

    @return  exit_ok; exit_usage: there was no such pool to ask; exit_failed: it refused */
[[nodiscard]] int ask_pool(const pool_choice& choice, const value& request, std::string (*words)(const value& reply),
                           admin_client::milliseconds limit = admin_client::short_limit);

/// Complains of it. @return  how to end
[[nodiscard]] int refused(const admin_failure& why);

}  // namespace snakepit::cli
