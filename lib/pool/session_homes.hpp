#pragma once
// Which line each session belongs to.

#include "pool/call.hpp"
#include "pool/intrusive_list.hpp"
#include "session/name_index.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace snakepit::detail {

/// Where a session is at home. All of it belongs to the switchboard.
struct session_home {
    list_hook<session_home> hook;               ///< in its line's `turns` or, without calls, among the idle ones
    intrusive_list<call, &call::hook> waiting;  ///< strict calls for which its line has no place, by ticket
    std::uint64_t line = 0;                     ///< number of its line, which may have gone; 0: it has none
    std::uint64_t sent_to = 0;                  ///< number of the line to which its last call was sent
    std::uint32_t calls = 0;                    ///< that have not ended
    std::uint32_t queued = 0;                   ///< strict ones of these in the general queue
    std::uint32_t number = 0;
    std::uint32_t hash = 0;
    std::string key;
};

/** Homes by the key of their session. Of those without a call so many are kept that there are not more than the limit
    in all, the least recently used ones go first. All in constant time, and without allocating for a session that is
    known or that takes the place of another. Not thread-safe. */
class session_homes {
public:
    explicit session_homes(std::size_t limit) : limit_(limit) {}

    [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }

    /// For one more call; `release` must follow.
    /// @param hash  of the key
    session_home& hold(std::string_view key, std::uint32_t hash) {
        const auto known = index_.find(hash, [&](std::uint32_t n) { return homes_[n].key == key; });
        auto& h = known == name_index::none ? make(key, hash) : homes_[known];
        if (h.calls++ == 0 && h.hook.linked) idle_.erase(h);
        return h;
    }
    void release(session_home& h) noexcept {
        if (--h.calls != 0) return;
        idle_.push_back(h);
        if (index_.size() > limit_) forget(*idle_.front());
    }

private:
    session_home& make(std::string_view key, std::uint32_t hash) {
        if (index_.size() >= limit_ && !idle_.empty()) forget(*idle_.front());
        if (spare_.empty()) {
            auto& made = homes_.emplace_back();
            made.number = static_cast<std::uint32_t>(homes_.size() - 1);
            spare_.push_back(made);
        }
        auto& h = *spare_.front();
        h.key = key;
        index_.insert(hash, h.number);
        h.hash = hash;
        spare_.erase(h);
        return h;
    }
    void forget(session_home& h) noexcept {
        index_.erase(h.hash, h.number);
        h.line = h.sent_to = 0;
        idle_.erase(h);
        spare_.push_front(h);
    }

    const std::size_t limit_;
    std::deque<session_home> homes_;  // by number
    name_index index_;
    intrusive_list<session_home, &session_home::hook> idle_;  // without calls, by last use
    intrusive_list<session_home, &session_home::hook> spare_;
};

}  // namespace snakepit::detail
