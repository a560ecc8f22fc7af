#pragma once
// Users of pool::map, who take all results or not, and write down which come.

#include "stress/chaos/load.hpp"
#include "stress/chaos/map_history.hpp"

#include <snakepit/map.hpp>
#include <snakepit/pool.hpp>

#include <asio/awaitable.hpp>
#include <deque>
#include <memory>

namespace snakepit::chaos {

/** @par Thread safety  everything on the load's strand */
class map_load : public std::enable_shared_from_this<map_load> {
public:
    map_load(pool& on, std::shared_ptr<call_log> to, strand where)
        : pool_(on), log_(std::move(to)), on_(std::move(where)) {}

    /// Starts those who use maps until `end`. Not before those of the last time have ended.
    void begin(std::uint64_t seed);
    void end() { over_ = true; }
    /// Users of maps who have not ended.
    [[nodiscard]] unsigned open() const { return open_; }
    [[nodiscard]] std::deque<map_record>& maps() { return maps_; }

private:
    struct one;
    static asio::awaitable<void> user(std::shared_ptr<map_load> self, dice random);
    static asio::awaitable<void> use(std::shared_ptr<map_load> self, std::shared_ptr<one> it);
    void note(one& of, const mapped<value>& what);

    pool& pool_;
    std::shared_ptr<call_log> log_;
    strand on_;
    bool over_ = false;
    unsigned open_ = 0;
    std::deque<map_record> maps_;  // records stay where they are
};

}  // namespace snakepit::chaos
