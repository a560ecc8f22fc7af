#pragma once
// Workers of one kind: a pool's own, or those of one of its groups.

#include "pool/crew.hpp"
#include "pool/health.hpp"
#include "pool/switchboard.hpp"

#include <snakepit/error.hpp>
#include <snakepit/options.hpp>

#include <memory>
#include <string>
#include <vector>

namespace snakepit::detail {

/// With the queue of their calls. Everything else is the pool's.
struct group {
    std::string name;  ///< empty: the pool's own, which were given none
    std::size_t queue_limit = 0;
    std::shared_ptr<switchboard> board;
    std::shared_ptr<pool_health> health{};
    std::shared_ptr<crew> workers{};
};

/// The pool's own ones first. Does not change once there.
using groups = std::vector<group>;

/// As if the pool's own workers were those of this group.
[[nodiscard]] pool_options options_of(pool_options whole, const group_options& g);

/// Where calls of this tool go. Of a pool that lets none in it may be any.
/// @return  or errc::unknown_tool
[[nodiscard]] result<std::shared_ptr<switchboard>> board_for(const groups& all, const std::string& tool);

}  // namespace snakepit::detail
