#pragma once
// Readers and senders of streams, who read to the end or not, and write down what comes.

#include "stress/chaos/load.hpp"
#include "stress/chaos/stream_history.hpp"
#include "stress/chaos/stream_script.hpp"

#include <snakepit/pool.hpp>

#include <asio/awaitable.hpp>
#include <deque>
#include <memory>

namespace snakepit::chaos {

/** @par Thread safety  everything on the load's strand */
class stream_load : public std::enable_shared_from_this<stream_load> {
public:
    stream_load(pool& on, std::shared_ptr<call_log> to, strand where)
        : pool_(on), log_(std::move(to)), on_(std::move(where)) {}

    /// Starts those who use streams until `end`. Not before those of the last time have ended.
    void begin(std::uint64_t seed);
    void end() { over_ = true; }
    /// Users of streams who have not ended.
    [[nodiscard]] unsigned open() const { return open_; }
    [[nodiscard]] std::deque<stream_record>& streams() { return streams_; }

private:
    struct one;
    static asio::awaitable<void> user(std::shared_ptr<stream_load> self, dice random);
    static asio::awaitable<void> use(std::shared_ptr<stream_load> self, std::shared_ptr<one> it);
    static asio::awaitable<void> read(std::shared_ptr<one> it, std::shared_ptr<call_log> log);
    static asio::awaitable<void> feed(std::shared_ptr<one> it);
    void stop_later(const std::shared_ptr<one>& it);
    void start(asio::awaitable<void> what);

    pool& pool_;
    std::shared_ptr<call_log> log_;
    strand on_;
    bool over_ = false;
    unsigned open_ = 0;
    std::deque<stream_record> streams_;  // records stay where they are
};

}  // namespace snakepit::chaos
