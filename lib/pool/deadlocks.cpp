#include "pool/deadlocks.hpp"

#include "pool/consequences.hpp"
#include "pool/switchboard.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace snakepit::detail {
namespace {

bool all_wait(const std::vector<call*>& running) {
    return std::ranges::all_of(running, [](const call* c) { return c->nested > 0; });
}

}  // namespace

void deadlock_watch::add(const std::shared_ptr<switchboard>& board) {
    const std::lock_guard lock(mutex_);
    boards_.push_back(board);
}

void deadlock_watch::began(call& c, switchboard& at) {
    const std::lock_guard lock(mutex_);
    ++c.parent->nested;
    calls_.push_back({&c, &at});
    count_.store(calls_.size(), std::memory_order_relaxed);
}

void deadlock_watch::ended(const call& c) {
    const std::lock_guard lock(mutex_);
    if (std::erase_if(calls_, [&](const nested_call& n) { return n.what == &c; }) == 0) return;
    --c.parent->nested;
    count_.store(calls_.size(), std::memory_order_relaxed);
}

void deadlock_watch::look() {
    boards all;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& weak : boards_)
            if (auto board = weak.lock()) all.push_back(std::move(board));
    }
    std::map<switchboard*, switchboard::consequences> todo;
    {
        std::vector<std::unique_lock<std::mutex>> locks;
        locks.reserve(all.size());
        for (const auto& board : all) locks.emplace_back(board->mutex_);
        // Where one has ended, at another board, a worker may take again what it was not given.
        for (const auto& board : all)
            if (const call* next = board->queue_.front(); next && next->parent) board->pump(todo[board.get()]);
        while (const auto victim = find_victim(all))
            victim->at->give_up_locked(*victim->what, errc::would_deadlock, todo[victim->at]);
    }
    for (auto& [board, consequences] : todo) {
        consequences.deadlocks = false;  // that was this
        board->act(consequences);
    }
}

/// With all their mutexes.
std::optional<deadlock_watch::nested_call> deadlock_watch::find_victim(const boards& all) const {
    std::set<const switchboard*> standing;
    for (const auto& board : all)
        if (board->stands_still()) standing.insert(board.get());
    const std::lock_guard lock(mutex_);
    for (bool changed = true; std::exchange(changed, false);)
        for (const auto& n : calls_)
            if (!standing.contains(n.at))
                changed = standing.erase(switchboard::running_at(*n.what->parent)) != 0 || changed;
    const auto newest = std::find_if(calls_.rbegin(), calls_.rend(), [&](const nested_call& n) {
        return standing.contains(n.at) && !n.what->answered && !switchboard::has_begun(*n.what);
    });
    if (newest == calls_.rend()) return std::nullopt;
    return *newest;
}

// ---- what a board knows of it, under its mutex

/// In every worker that there is, or can be, all that runs waits for a call of its host tool.
bool switchboard::stands_still() const {
    if (lines_.empty() || lines_.size() < workers_) return false;
    for (const line* l = lines_.front(); l; l = l->all_hook.next)
        if (!waits_for_nested(*l) || !all_wait(running_on(*l))) return false;
    return true;
}

/// Each of its places is taken by a call that waits for another one; or its main thread, which others may need, is.
bool switchboard::waits_for_nested(const line& l) const {
    const auto running = running_on(l);
    const auto holds_main = [&](const call* c) { return c->nested > 0 && tools_[c->tool_index].main_thread; };
    if (l.width > 1 && std::any_of(running.begin(), running.end(), holds_main)) return true;
    return running.size() == static_cast<std::size_t>(l.width) && all_wait(running);
}

/// Null: it is at no worker.
const switchboard* switchboard::running_at(const call& c) {
    return c.place == call_place::sent ? c.on->board : nullptr;
}

/// A worker begins its calls in the order of their ids.
bool switchboard::has_begun(const call& c) {
    if (c.place != call_place::sent || c.id == 0) return false;
    int before = 0;
    for (const auto& [id, other] : c.on->sent) before += id < c.id ? 1 : 0;
    return before < c.on->width;
}

}  // namespace snakepit::detail
