#pragma once
// Callers that keep a pool busy with calls of every kind, and write down what becomes of them.

#include "stress/chaos/call_log.hpp"
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
    snakepit::priority priority = snakepit::priority::normal;
};

/** @par Thread safety  everything on the strand */
class load : public std::enable_shared_from_this<load> {
public:
    load(pool& on, std::shared_ptr<call_log> to, strand where)
        : pool_(on), log_(std::move(to)), on_(std::move(where)) {}

    /// Starts callers that come back for more until `end`. Not before those of the last time have ended.
    void begin(std::uint64_t seed, unsigned callers);
    void end() { over_ = true; }
    using listener = std::function<void(const call_record&, const result<reply>&)>;
    /// Makes one call. `then` hears its outcome after it has been written down.
    void make(const request& r, listener then = {});

private:
    static asio::awaitable<void> caller(std::shared_ptr<load> self, dice random);
    void note(call_record& c, const value& expected, const result<reply>& outcome);

    pool& pool_;
    std::shared_ptr<call_log> log_;
    strand on_;
    bool over_ = false;
};

}  // namespace snakepit::chaos
