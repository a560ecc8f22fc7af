#pragma once
// A call that is made a second time when it takes long.

#include "pool/call.hpp"
#include "session/session_host.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>
#include <memory>
#include <mutex>

namespace snakepit::detail {

class switchboard;
class tracer;

/** Two attempts at one call, of which the first reply counts; see `call_options::hedge_after`. Lives as long as one of
    them.

    @par Thread safety  internally synchronized */
class hedge : public std::enable_shared_from_this<hedge> {
public:
    /// @param traces  null: nothing is traced
    hedge(std::shared_ptr<switchboard> board, std::shared_ptr<session_host> sessions,
          std::shared_ptr<const tracer> traces);

    /// Takes over the call's completion and its caller's cancellation; the call is to be submitted then.
    /// @param on  where the time is taken
    void follow(const call_ptr& first, std::chrono::milliseconds after, const asio::any_io_executor& on);

    /// For the caller, who does not want it any more.
    void give_up();

private:
    struct attempt {
        std::weak_ptr<call> what;
        std::shared_ptr<served_by> served = std::make_shared<served_by>();
        bool is_under_way = false;
        result<value> lost;  ///< how it ended, while the other one may still bring a reply
    };

    void begin_second();
    void ended(attempt& which, attempt& other, result<value> outcome);
    [[nodiscard]] completion<result<value>> completion_of(attempt& which, attempt& other,
                                                          const asio::any_io_executor& home);

    const std::shared_ptr<switchboard> board_;
    const std::shared_ptr<session_host> sessions_;
    const std::shared_ptr<const tracer> traces_;  // a second attempt may begin when the pool object is gone
    std::mutex mutex_;
    completion<result<value>> done_;     // of the caller; empty once it has been called
    std::shared_ptr<served_by> served_;  // likewise; null: nobody asks
    attempt first_;
    attempt second_;
    std::unique_ptr<asio::steady_timer> timer_;
};

}  // namespace snakepit::detail
