// The switchboard's part about calls that run on the main threads of workers that run others beside them.

#include "pool/consequences.hpp"
#include "pool/switchboard.hpp"

#include <algorithm>

namespace snakepit::detail {

/** They run there one after the other, and have begun only when their turn has come, however much room there is for
    others. When the first of them has not ended from one look to the next, as many of those behind it are wanted back
    as there are workers whose main threads are idle.
    @return  whether some may wait there */
bool switchboard::look_at_main_thread(line& from, consequences& todo) {
    if (from.on_main < 2 || allowed_.credit.stall.count() == 0) return false;
    std::vector<call*> held;
    for (const auto& [id, c] : from.sent)
        if (c->on_main) held.push_back(c);
    std::sort(held.begin(), held.end(), [](const call* a, const call* b) { return a->id < b->id; });
    const auto first = held.empty() ? 0 : held.front()->id;
    if (std::exchange(from.main_watched, first) != first || first == 0 || shut_ || closed_for_) return true;
    std::ptrdiff_t idle = 0;
    for (const line* l = lines_.front(); l; l = l->all_hook.next)
        idle += l != &from && l->routable && l->on_main == 0 && l->load < l->width ? 1 : 0;
    consequences::sent_calls asked{from.out, {}};
    for (auto each = held.begin() + 1; each != held.end() && idle > 0; ++each) {
        call& c = **each;
        if (c.answered || c.affinity != affinity::none) continue;  // it would come back to where its session is
        --idle;
        if (std::exchange(c.recall, recall_state::asked) == recall_state::none) asked.ids.push_back(c.id);
    }
    if (!asked.ids.empty()) todo.recalls.push_back(std::move(asked));
    return true;
}

}  // namespace snakepit::detail
