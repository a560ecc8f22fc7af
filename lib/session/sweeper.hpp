#pragma once
// Sweeps a store when something in it has expired, and sleeps otherwise.

#include "session/memory_store.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <chrono>
#include <memory>

namespace snakepit::detail {

/** A timer that is set only while there are sessions that may expire. Each sweep is short; with more to do others on
   the strand come first.

    @par Thread safety  the strand
    @par Lifetime       `stop` lets go of the timer; until then it keeps the strand's context running */
class sweeper : public std::enable_shared_from_this<sweeper> {
public:
    using strand = asio::strand<asio::any_io_executor>;

    sweeper(strand on, std::shared_ptr<memory_store> store);
    void start();
    void stop();

private:
    using time_point = memory_store::time_point;
    /// Sessions may expire at any moment, and are not worth waking up for one by one: nobody gets at them any more.
    static constexpr std::chrono::milliseconds pause{20};

    void wake_at(time_point at);
    void sweep();

    const strand on_;
    const std::shared_ptr<memory_store> store_;
    std::shared_ptr<const memory_store::bell> alarm_;  // null: stopped
    asio::steady_timer timer_;
    time_point wake_at_ = time_point::max();
    time_point swept_ = time_point::min();
};

}  // namespace snakepit::detail
