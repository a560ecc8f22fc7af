#pragma once
// Calls that run for long in a worker that cannot say so itself.

#include "pool/switchboard.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace snakepit::detail {

/** A worker tells of its slow calls (SlowCall in control.proto), as long as something lets its threads run. Of what
   holds the GIL it cannot: then faulthandler is asked, by a signal, which needs no lock and stops nothing.

    @par Thread safety  the strand */
class slow_watch : public std::enable_shared_from_this<slow_watch> {
public:
    using clock = std::chrono::steady_clock;
    using strand = asio::strand<asio::any_io_executor>;

    struct subject {
        std::function<occupation()> at;       ///< what it runs
        std::function<void()> dump;           ///< has its stacks written
        std::function<std::string()> dumped;  ///< and reads them
        std::function<void(const occupation&, clock::duration running, std::string stack)> tell;
    };

    slow_watch(strand on, std::chrono::milliseconds threshold, subject of);

    /// Until `stop`; to be spawned on the strand.
    static asio::awaitable<void> run(std::shared_ptr<slow_watch> self);
    /// The worker has told of this call.
    void told(std::uint64_t id) { told_ = std::max(told_, id); }
    void stop();

private:
    const std::chrono::milliseconds threshold_;
    const subject of_;
    asio::steady_timer wake_;
    std::uint64_t seen_ = 0;  // the call that ran at the last look
    clock::time_point since_;
    std::uint64_t told_ = 0;  // the last one that was told of
    bool stopped_ = false;
};

}  // namespace snakepit::detail
