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
    std::optional<value> status{};           ///< nothing: it has not told
    std::optional<admin_failure> trouble{};  ///< why not
};
/// Those of this user on this machine, for root those of all users. This user's links to sockets of pools that are no
/// more are removed on the way.
[[nodiscard]] std::vector<running_pool> running_pools();

/// A connection that nothing has been asked by; or why there is not exactly one pool that fits, or it refuses itself.
[[nodiscard]] admin_result<admin_client> choose(const pool_choice& choice);

/** Asks the pool chosen, and prints the reply as JSON if that is wanted, else what `words` makes of it; nothing where
    that is empty.

    @return  exit_ok; exit_usage: there was no such pool to ask; exit_failed: it refused */
[[nodiscard]] int ask_pool(const pool_choice& choice, const value& request, std::string (*words)(const value& reply),
                           admin_client::milliseconds limit = admin_client::short_limit);

/// Complains of it, and prints it too where JSON is wanted. @return  how to end: exit_usage where no pool was asked
[[nodiscard]] int refused(const admin_failure& why, bool json);
/// Likewise of a command that makes no sense.
[[nodiscard]] int misused(std::string message, bool json);

}  // namespace snakepit::cli
