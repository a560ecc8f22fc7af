#include "pool/group.hpp"

#include "pool/nearest_names.hpp"

namespace snakepit::detail {

pool_options options_of(pool_options whole, const group_options& g) {
    whole.group = g.name;
    whole.workers = g.workers;
    whole.profile = g.profile;
    whole.threads_per_worker = g.threads_per_worker;
    whole.max_concurrency = g.max_concurrency;
    whole.queue_limit = g.queue_limit;
    whole.calls_per_worker = g.calls_per_worker;
    whole.warmup = g.warmup;
    whole.lifecycle = g.lifecycle;
    whole.scaling = g.scaling;
    return whole;
}

result<std::shared_ptr<switchboard>> board_for(const groups& all, const std::string& tool) {
    if (all.empty()) return tl::unexpected(error(errc::not_started, "await pool.start() first"));
    const auto& own = all.front().board;
    if (!own->is_open()) return own;
    for (const auto& g : all)
        if (g.board->serves(tool)) return g.board;
    for (const auto& g : all)  // none of its workers is there now
        if (g.board->offers(tool)) return g.board;
    std::vector<std::string> names;
    for (const auto& g : all)
        for (auto& t : g.board->tools()) names.push_back(std::move(t.name));
    return tl::unexpected(unknown_tool_error(tool, names));
}

}  // namespace snakepit::detail
