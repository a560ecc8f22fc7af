#pragma once
// The calls of a run, whoever makes them, and what becomes of each.

#include "stress/chaos/history.hpp"

#include <cstddef>
#include <deque>
#include <string_view>

namespace snakepit::chaos {

/** @par Thread safety  everything on one strand */
class call_log {
public:
    /// One more call, which begins now. It stays where it is.
    [[nodiscard]] call_record& add(std::string_view tool, clock::duration timeout);
    void has_value(call_record& c, bool is_right);
    void has_failed(call_record& c, const error& why);
    /// Its caller has let go of it, and will not hear what became of it.
    void drop(call_record& c);

    /// From now on errc::pool_stopped is no surprise.
    void expect_stop() { pool_stops_ = true; }
    /// Calls that have not ended.
    [[nodiscard]] std::size_t open() const { return open_; }
    [[nodiscard]] std::deque<call_record>& calls() { return calls_; }

private:
    [[nodiscard]] bool end(call_record& c);
    [[nodiscard]] bool is_explained(const call_record& c, const error& e) const;

    std::deque<call_record> calls_;
    std::size_t open_ = 0;
    bool pool_stops_ = false;
};

}  // namespace snakepit::chaos
