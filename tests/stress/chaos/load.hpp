#pragma once
// Callers that keep a pool busy with calls of every kind, and write down what becomes of them.

#include "stress/chaos/history.hpp"
#include "stress/chaos/schedule.hpp"

#include <snakepit/pool.hpp>

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/strand.hpp>
#include <functional>
#include <memory>

namespace snakepit::chaos {

using strand = asio::strand<asio::io_context::executor_type>;

struct request {
    std::string_view tool;
    unsigned amount = 0;                          ///< the tool's argument; for echo the size of the payload
    clock::duration timeout{};                    ///< 0: none
    std::optional<clock::duration> cancel_after;  ///< by the caller
    std::string session{};                        ///< its key; empty: none
    snakepit::affinity affinity = snakepit::affinity::none;
    bool session_may_end = false;  ///< while the call uses it
    value following{};             ///< null: `amount` is the argument; else what comes behind the call's number
};

/** @par Thread safety  everything on the strand */
class load : public std::enable_shared_from_this<load> {
public:
    load(pool& on, strand where) : pool_(on), on_(std::move(where)) {}

    /// Starts callers that come back for more until `end`. Not before those of the last time have ended.
    void begin(std::uint64_t seed, unsigned callers);
    void end() { over_ = true; }
    /// From now on errc::pool_stopped is no surprise.
    void expect_stop() { pool_stops_ = true; }
    using listener = std::function<void(const call_record&, const result<reply>&)>;
    /// Makes one call. `then` hears its outcome after it has been written down.
    void make(const request& r, listener then = {});

    /// Calls that have not ended.
    [[nodiscard]] std::size_t open() const { return open_; }
    [[nodiscard]] std::deque<call_record>& calls() { return calls_; }

private:
    static asio::awaitable<void> caller(std::shared_ptr<load> self, dice random);
    void note(call_record& c, const value& expected, const result<reply>& outcome);
    [[nodiscard]] bool is_explained(const call_record& c, const error& e) const;

    pool& pool_;
    strand on_;
    bool over_ = false;
    bool pool_stops_ = false;
    std::size_t open_ = 0;
    std::deque<call_record> calls_;  // records stay where they are
};

}  // namespace snakepit::chaos
