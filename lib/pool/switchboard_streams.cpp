// Streams: items, input and credit of calls that run.

#include "pool/consequences.hpp"
#include "pool/limits.hpp"
#include "pool/switchboard.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace snakepit::detail {

void switchboard::give_credit(call& of, std::size_t bytes) {
    if (bytes == 0) return;
    consequences todo;
    {
        const std::lock_guard lock(mutex_);
        add_credit(of, bytes, todo);
    }
    act(todo);
}

void switchboard::add_credit(call& c, std::size_t bytes, consequences& todo) {
    if (c.place != call_place::sent || c.id == 0) return;
    auto& grants = c.on->grants;
    // Not to one of no bytes, which says that nobody wants the call any more.
    const auto known =
        std::find_if(grants.begin(), grants.end(), [&](const auto& g) { return g.call == c.id && g.bytes != 0; });
    if (known == grants.end() || bytes == 0) grants.push_back({c.id, bytes});
    else known->bytes += bytes;
    want_flush(*c.on, todo);
}

void switchboard::input_ready(call& of) {
    consequences todo;
    {
        const std::lock_guard lock(mutex_);
        if (of.place != call_place::sent || of.id == 0) return;
        note_input(of);
        want_flush(*of.on, todo);
    }
    act(todo);
}

/// Its line knows that it has input, if it has.
void switchboard::note_input(call& c) {
    if (c.stream->due_on == c.on->number || !c.stream->has_input()) return;
    c.stream->due_on = c.on->number;
    c.on->due.push_back(c.self);
}

/// Credit, and input of one call after the other.
/// @param share  bytes of the frame that may be full then
void switchboard::add_streams(line& from, out_frame& into, std::size_t share) {
    const auto has_room = [&] { return into.items() + 2 <= max_frame_items; };
    while (!from.grants.empty() && has_room() && into.bytes + item_overhead <= max_frame_bytes) {
        into.grants.push_back(from.grants.back());
        into.bytes += item_overhead;
        from.grants.pop_back();
    }
    while (!from.due.empty()) {
        call& c = *from.due.front();
        const bool is_here = c.place == call_place::sent && c.on == &from && c.id != 0;
        while (is_here && has_room() && into.bytes + item_overhead < share) {
            auto piece = c.stream->next_input(share - into.bytes - item_overhead);
            if (!piece) break;
            into.bytes += piece->size + item_overhead;
            into.inputs.push_back({c.id, std::move(*piece)});
        }
        if (is_here && c.stream->has_input()) {
            std::rotate(from.due.begin(), from.due.begin() + 1, from.due.end());
            return;  // the frame is full
        }
        if (c.stream->due_on == from.number) c.stream->due_on = 0;
        from.due.pop_front();
    }
}

bool switchboard::has_ended(const line& l, std::uint64_t id) const {
    const std::lock_guard lock(mutex_);
    return id > 0 && id <= l.last_id && !l.sent.contains(id);
}

std::optional<std::string> switchboard::take_streams(line& from, std::vector<arrived_items>& items,
                                                     const std::vector<arrived_grant>& grants) {
    std::optional<std::string> breach;
    consequences todo;
    call_ptr who;
    std::uint64_t beginning = 0;  // it may be at the next worker before it is told
    const auto find = [&](std::uint64_t id, const char* what) {
        const std::lock_guard lock(mutex_);
        if (from.closed) return false;
        const auto held = from.sent.find(id);
        if (held == from.sent.end()) breach = fmt::format("{} of call {}, which it does not hold", what, id);
        else if (!held->second->stream) breach = fmt::format("{} of call {}, which is no stream", what, id);
        else who = held->second->self;
        if (!breach) beginning = who->stream->beginning();
        return !breach;
    };
    for (auto& each : items) {
        if (!find(each.call, "items")) break;
        std::size_t credit = 0;
        breach = who->stream->put(beginning, std::move(each.values), each.total, credit);
        if (breach) breach = fmt::format("call {}: {}", each.call, *breach);
        if (breach) break;
        if (credit == 0) continue;
        const std::lock_guard lock(mutex_);
        if (who->on == &from) add_credit(*who, credit, todo);
    }
    for (const auto& each : grants) {
        if (has_ended(from, each.call)) continue;  // a thread that its tool has left behind reads on
        if (breach || !find(each.call, "credit")) break;
        breach = who->stream->grant(beginning, each.bytes);
        if (breach) {
            breach = fmt::format("call {}: {}", each.call, *breach);
            break;
        }
        const std::lock_guard lock(mutex_);
        if (who->place != call_place::sent || who->on != &from) continue;
        note_input(*who);
        want_flush(from, todo);
    }
    act(todo);
    return breach;
}

}  // namespace snakepit::detail
