#pragma once
// Callers whose calls use sessions, and the host itself, which uses, closes and lets expire the same ones.

#include "stress/chaos/load.hpp"
#include "stress/chaos/session_script.hpp"

#include <snakepit/pool.hpp>

#include <asio/awaitable.hpp>
#include <map>
#include <memory>
#include <utility>

namespace snakepit::chaos {

/** @par Thread safety  everything on the load's strand */
class session_load : public std::enable_shared_from_this<session_load> {
public:
    session_load(pool& on, std::shared_ptr<load> calls, strand where)
        : pool_(on), calls_(std::move(calls)), on_(std::move(where)) {}

    /// Starts those who use sessions until `end`. Not before those of the last time have ended.
    void begin(std::uint64_t seed);
    void end() { over_ = true; }
    /// Callers and users that have not ended.
    [[nodiscard]] unsigned open() const { return open_; }

    /// Once all is quiet: the host reads every variable of all sessions.
    static asio::awaitable<void> look_at_all(std::shared_ptr<session_load> self);

    [[nodiscard]] session_log& log() { return log_; }

private:
    static asio::awaitable<void> caller(std::shared_ptr<session_load> self, dice random);
    static asio::awaitable<void> user(std::shared_ptr<session_load> self, dice random);
    void start(asio::awaitable<void> one);
    void note(const session_script& s, const call_record& c, const result<reply>& got);

    pool& pool_;
    std::shared_ptr<load> calls_;
    strand on_;
    bool over_ = false;
    unsigned open_ = 0;
    session_log log_;
};

}  // namespace snakepit::chaos
