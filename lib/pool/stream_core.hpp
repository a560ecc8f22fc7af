#pragma once
// What a caller's handle on a stream holds.

#include "pool/call.hpp"
#include "pool/stream_state.hpp"
#include "pool/switchboard.hpp"

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <asio/any_io_executor.hpp>
#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace snakepit::detail {

/** @par Thread safety  every member from any thread */
class stream_core : public std::enable_shared_from_this<stream_core> {
public:
    using item = stream_state::item;

    /// @param c, board  null: the call was refused before it came to the switchboard
    stream_core(asio::any_io_executor home, std::shared_ptr<stream_state> state, call_ptr c,
                std::shared_ptr<switchboard> board, std::size_t max_message_bytes)
        : home_(std::move(home)),
          state_(std::move(state)),
          call_(std::move(c)),
          board_(std::move(board)),
          max_message_bytes_(max_message_bytes) {}

    /// Where handlers run that are bound to no executor.
    [[nodiscard]] const asio::any_io_executor& home() const noexcept { return home_; }
    /// An item that is there, decoded; null: it has to be waited for.
    struct ready {
        bool is_known = false;
        std::optional<value> it;
    };
    [[nodiscard]] ready take();
    void begin_next(completion<item> done);
    void begin_result(completion<result<value>> done);
    void begin_send(const value& what, completion<result<void>> done);
    [[nodiscard]] result<void> finish();
    /// The value of an item; nothing, and the end of the call, when it cannot be read.
    [[nodiscard]] std::optional<value> read(item it);
    /// Nobody wants it any more.
    void cancel();
    /// Every so often: others shall have their turn.
    [[nodiscard]] bool should_yield() noexcept { return (++taken_ & 0xff) == 0; }

private:
    void cancel_when_asked(const asio::cancellation_slot& slot);

    const asio::any_io_executor home_;
    const std::shared_ptr<stream_state> state_;
    const call_ptr call_;
    const std::shared_ptr<switchboard> board_;
    const std::size_t max_message_bytes_;
    std::atomic<unsigned> taken_ = 0;
};

}  // namespace snakepit::detail
