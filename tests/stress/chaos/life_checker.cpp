#include "stress/chaos/session_checker.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <map>

namespace snakepit::chaos {
namespace {

using kind = session_op::kind;
using outcome = session_op::outcome;
using milliseconds = std::chrono::duration<double, std::milli>;

constexpr auto never = session_op::never;

/// One session from its birth to its end, as it can be known.
struct life {
    std::uint64_t session = 0;
    clock::time_point known_from = never;                              ///< its first operation was done
    clock::time_point last_use{};                                      ///< its last one that was done began
    clock::time_point over = never;                                    ///< somebody was told that it has ended
    clock::time_point close_began = never;                             ///< the first that may have ended it
    std::chrono::milliseconds ttl = std::chrono::milliseconds::max();  ///< the shortest that it was given
};

class inquiry {
public:
    explicit inquiry(const session_history& of) : of_(of) {}

    std::vector<violation> all() {
        for (const auto& op : of_.ops) note(op);
        std::map<std::string, std::vector<life>> of_key;
        for (const auto& [session, l] : lives_)
            if (l.known_from != never) of_key[keys_.at(session)].push_back(l);
        for (auto& [key, lives] : of_key) look_at(key, lives);
        return std::move(found_);
    }

private:
    void note(const session_op& op) {
        const bool may_be_done = op.how == outcome::done || op.how == outcome::unknown;
        if (op.what == kind::close && may_be_done && op.session == 0) {
            auto& first = closed_somewhere_.emplace(op.key, never).first->second;
            first = std::min(first, op.began);
        }
        if (op.session == 0) return;
        keys_.emplace(op.session, op.key);
        auto& l = lives_[op.session];
        l.session = op.session;
        if (op.how == outcome::closed) l.over = std::min(l.over, op.ended);
        if (op.what == kind::close) {
            if (op.how == outcome::done) l.over = std::min(l.over, op.ended);
            if (may_be_done) l.close_began = std::min(l.close_began, op.began);
            return;
        }
        if (op.what == kind::expire && op.how == outcome::done) l.ttl = std::min(l.ttl, op.ttl);
        if (op.how != outcome::done) return;
        l.known_from = std::min(l.known_from, op.ended);
        l.last_use = std::max(l.last_use, op.began);
    }

    void blame(fault what, const std::string& key, const life& l, std::string words) {
        found_.push_back({what, 0, fmt::format("session {} of {}: {}", l.session, key, std::move(words))});
    }

    void look_at(const std::string& key, std::vector<life>& lives) {
        const auto by_beginning = [](const life& a, const life& b) { return a.known_from < b.known_from; };
        std::sort(lives.begin(), lives.end(), by_beginning);
        for (std::size_t i = 0; i < lives.size(); ++i) {
            auto& l = lives[i];
            if (l.over < l.last_use)
                blame(fault::came_back, key, l,
                      fmt::format("in use {:.3f} ms after its end", milliseconds(l.last_use - l.over).count()));
            // Those that were known later, and before the last use of this one.
            for (auto j = i + 1; j < lives.size() && lives[j].known_from < l.last_use; ++j)
                if (l.known_from < lives[j].last_use)
                    blame(fault::came_back, key, l, fmt::format("at the same time as {}", lives[j].session));
            const auto next = i + 1 < lives.size() ? lives[i + 1].known_from : never;
            look_at_end(key, l, std::min(l.over, next));
        }
    }

    /// @param over  by when it had ended
    void look_at_end(const std::string& key, const life& l, clock::time_point over) {
        if (over == never) return;
        const auto somewhere = closed_somewhere_.find(key);
        if (l.close_began < over || (somewhere != closed_somewhere_.end() && somewhere->second < over)) return;
        if (l.ttl == std::chrono::milliseconds::max()) blame(fault::ended_for_nothing, key, l, "nobody ended it");
        else if (over - l.last_use < l.ttl)
            blame(fault::ended_for_nothing, key, l,
                  fmt::format("unused for {:.3f} ms, of {}", milliseconds(over - l.last_use).count(), l.ttl.count()));
    }

    const session_history& of_;
    std::map<std::uint64_t, life> lives_;
    std::map<std::uint64_t, std::string> keys_;
    std::map<std::string, clock::time_point> closed_somewhere_;  // by key: the first that may have closed any session
    std::vector<violation> found_;
};

}  // namespace

std::vector<violation> check_lives(const session_history& of) { return inquiry(of).all(); }

}  // namespace snakepit::chaos
