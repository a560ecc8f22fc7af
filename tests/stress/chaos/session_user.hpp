#pragma once
// The host with one handle on one session, and what it writes down of it.

#include "stress/chaos/session_script.hpp"

#include <snakepit/session.hpp>

#include <asio/awaitable.hpp>
#include <memory>
#include <string>
#include <utility>

namespace snakepit::chaos {

class session_user {
public:
    session_user(const session_kind& kind, snakepit::session on, session_log& log)
        : kind_(kind), on_(std::move(on)), log_(log), observer_(log.next_observer()) {}

    using ptr = std::shared_ptr<session_user>;
    /// Finds out which session it is; gives it a name if nobody has.
    static asio::awaitable<void> arrive(ptr self);
    /// Not when the session has ended: the handle is of no more use.
    [[nodiscard]] bool goes_on() const { return goes_on_; }
    static asio::awaitable<void> do_something(ptr self, dice& random);
    /// @return  its version, 0: there is none
    static asio::awaitable<std::uint64_t> get(ptr self, std::string name);

private:
    static asio::awaitable<void> set(ptr self, std::string name);
    static asio::awaitable<void> compare_and_set(ptr self, std::string name);
    static asio::awaitable<bool> set_if(ptr self, session_value what, std::uint64_t expected);
    static asio::awaitable<void> count_up(ptr self);
    static asio::awaitable<void> erase(ptr self, std::string name);
    static asio::awaitable<void> expire(ptr self, std::chrono::milliseconds ttl);
    static asio::awaitable<void> close(ptr self);

    [[nodiscard]] session_op begun(session_op::kind what, std::string variable = "") const;
    [[nodiscard]] session_value value_for(std::string variable);
    template <class T>
    void note(session_op op, const result<T>& got);

    const session_kind& kind_;
    snakepit::session on_;
    session_log& log_;
    std::uint64_t observer_;
    std::uint64_t session_ = 0;
    bool goes_on_ = true;
};

}  // namespace snakepit::chaos
