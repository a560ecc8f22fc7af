#pragma once
// Calls that run for long in a worker that cannot say so itself.

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace snakepit::detail {

/** A worker tells of its slow calls (SlowCall in control.proto), as long as something lets its threads run. Of what
    holds the GIL it cannot: then faulthandler is asked, by a signal, which needs no lock, to a thread that runs no
   tools.

    @par Thread safety  the strand */
class slow_watch : public std::enable_shared_from_this<slow_watch> {
public:
    using clock = std::chrono::steady_clock;
    using strand = asio::strand<asio::any_io_executor>;

    struct at_work {
        std::uint64_t id = 0;
        std::string tool;
        clock::time_point since;
    };
    struct subject {
        std::function<std::vector<at_work>()> runs;  ///< what it is at
        std::function<void()> dump;                  ///< has its stacks written
        std::function<std::string()> dumped;         ///< and reads them
        std::function<void(const at_work&, clock::duration running, std::string stack)> tell;
    };

    slow_watch(strand on, std::chrono::milliseconds threshold, subject of);

    /// Until `stop`; to be spawned on the strand.
    static asio::awaitable<void> run(std::shared_ptr<slow_watch> self);
    /// It is to be told of this call now. @return  false: it has been
    [[nodiscard]] bool is_first(std::uint64_t id);
    void stop();

private:
    [[nodiscard]] std::vector<at_work> slow_ones() const;

    const std::chrono::milliseconds threshold_;
    const subject of_;
    asio::steady_timer wake_;
    std::set<std::uint64_t> told_;  // the newest
    bool stopped_ = false;
};

}  // namespace snakepit::detail
