#pragma once
// What several want at the same time is done once.

#include <snakepit/error.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <exception>
#include <utility>

namespace snakepit::detail {

/** @par Thread safety  use it on its strand; it has to outlive what runs in it */
class single_flight {
public:
    explicit single_flight(asio::strand<asio::any_io_executor> on) : landed_(std::move(on)) {
        landed_.expires_at(std::chrono::steady_clock::time_point::max());
    }

    [[nodiscard]] bool busy() const noexcept { return busy_; }
    /// Until nothing is under way. @return  how the last went
    asio::awaitable<result<void>> idle() {
        while (busy_) {
            asio::error_code woken;
            co_await landed_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        }
        co_return last_;
    }
    /// Does it, and tells all who wait in `idle` how it went. Only while nothing is under way.
    asio::awaitable<result<void>> run(asio::awaitable<result<void>> work) {
        busy_ = true;
        try {
            last_ = co_await std::move(work);
        } catch (const std::exception& e) {
            last_ = tl::unexpected(error(errc::launch_failed, e.what()));
        }
        busy_ = false;
        landed_.cancel();
        co_return last_;
    }

private:
    bool busy_ = false;
    result<void> last_;
    asio::steady_timer landed_;
};

}  // namespace snakepit::detail
