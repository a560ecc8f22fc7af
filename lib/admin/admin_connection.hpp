#pragma once
// One operator at the admin socket.

#include "admin/protocol.hpp"
#include "admin/recent_events.hpp"
#include "admin/replies.hpp"
#include "process/fork_shield.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace snakepit::detail {

class pool_impl;

/// What all operators of a pool have in common.
struct admin_facts {
    explicit admin_facts(const std::shared_ptr<pool_impl>& of);

    std::weak_ptr<pool_impl> pool;
    std::shared_ptr<event_bus> events;
    recent_events recent;
    admin::birth birth{};
};

/** Answers the requests of one peer, one after the other; reads the next one when the answer has left.

    Nothing of it grows with what the peer does: a request has its longest line, an answer waits ten seconds for whoever
    does not read it, and who follows events more slowly than they come is told how many were left out. When the peer
    goes, nothing waits for its answer any more; what it has asked for goes on.

    @par Thread safety  the strand */
class admin_connection : public std::enable_shared_from_this<admin_connection> {
public:
    using strand = asio::strand<asio::any_io_executor>;
    using clock = std::chrono::steady_clock;

    admin_connection(strand on, asio::local::stream_protocol::socket peer, fork_shield shield,
                     std::shared_ptr<const admin_facts> facts);

    /// @param ended  called once, when nothing is left of it
    void start(std::function<void()> ended);
    /// Hangs up, when the answer that is under way has left, or all events have.
    void finish();
    /// Hangs up.
    void stop();
    /// The end of time: it has been asked something, or tells of events.
    [[nodiscard]] clock::time_point idle_since() const noexcept { return idle_since_; }

private:
    static asio::awaitable<void> serve(std::shared_ptr<admin_connection> self);
    static asio::awaitable<std::string> answer(std::shared_ptr<admin_connection> self, std::string line);
    static asio::awaitable<void> follow(std::shared_ptr<admin_connection> self, event_filter wanted);
    static asio::awaitable<void> say(std::shared_ptr<admin_connection> self, std::string text);
    template <class T, class Begin>
    static asio::awaitable<result<T>> outcome_of(std::shared_ptr<admin_connection> self, Begin begin);
    void watch_for_its_end();

    const strand on_;
    const std::shared_ptr<const admin_facts> facts_;
    asio::local::stream_protocol::socket peer_;
    fork_shield shield_;
    asio::steady_timer patience_;
    asio::cancellation_signal stop_;
    std::optional<admin::events> to_follow_;
    clock::time_point idle_since_ = clock::now();
    bool is_finishing_ = false;
    bool gone_ = false;
};

}  // namespace snakepit::detail
