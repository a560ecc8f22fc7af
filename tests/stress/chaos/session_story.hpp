#pragma once
// Histories of sessions made by hand, for the tests of those who judge them.

#include "stress/chaos/session_history.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace snakepit::chaos {

/// Operations of the session 1 of the key "s", of the host, each from one moment to another. Milliseconds count from
/// some time that is not the beginning of the clock.
class session_story {
public:
    static clock::time_point at(int milliseconds) {
        return clock::time_point(std::chrono::hours(1)) + std::chrono::milliseconds(milliseconds);
    }

    session_op& add(session_op::kind what, std::string variable, int from, int to) {
        session_op op;
        op.what = what;
        op.observer = ++last_observer_;
        op.key = "s";
        op.session = 1;
        op.variable = std::move(variable);
        op.began = at(from);
        op.ended = at(to);
        return history.ops.emplace_back(std::move(op));
    }
    /// @param version  0: not known
    session_op& write(std::uint64_t number, std::uint64_t version, int from, int to, std::string variable = "a") {
        auto& op = add(session_op::kind::write, variable, from, to);
        op.value = session_value{"s", std::move(variable), number};
        op.version = version;
        return op;
    }
    session_op& read(std::uint64_t number, std::uint64_t version, int from, int to, std::string variable = "a") {
        auto& op = write(number, version, from, to, std::move(variable));
        op.what = session_op::kind::read;
        return op;
    }
    session_op& find_nothing(int from, int to, std::string variable = "a") {
        return add(session_op::kind::read, std::move(variable), from, to);
    }
    session_op& erase(int from, int to) { return add(session_op::kind::erase, "a", from, to); }
    static void is_unknown(session_op& op) {
        op.how = session_op::outcome::unknown;
        op.ended = session_op::never;
    }
    /// The call that would have made it has failed: it does not even say of which session it would have been.
    static void is_lost(session_op& op) {
        is_unknown(op);
        op.session = 0;
        op.version = 0;
    }

    session_history history;

private:
    std::uint64_t last_observer_ = 0;
};

}  // namespace snakepit::chaos
