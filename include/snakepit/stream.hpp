#pragma once
/// @file
/// Streams: calls whose tools yield items, or take some, while they run.

#include <snakepit/error.hpp>
#include <snakepit/export.hpp>
#include <snakepit/value.hpp>

#include <asio/awaitable.hpp>
#include <memory>
#include <optional>

namespace snakepit {
namespace detail {
class stream_core;
}  // namespace detail

/** A call that is running, and its items: what `pool::stream` returns.

    @code
    auto s = co_await pool.stream("tokens", prompt);
    while (auto item = co_await s.next()) use(*item);
    auto end = co_await s.result();   // what the generator returned, or why it ended
    @endcode

    Whoever reads slowly slows the tool down: 1 MiB of items and one more are under way at most, and then the tool waits
    in its `yield`. The same the other way: `send` waits while the tool has not used what it was sent.

    Destruction cancels the call if it goes on: the generator is closed, its `finally` runs, and the worker is free when
    it has ended. What was moved from may only be assigned to and destroyed.

    @par Thread safety  `next`, `result`, `send`, `finish` and `cancel` from any thread, also at the same time; not
                        together with a move or the destruction
    @par Lifetime       the pool object may die first, which ends the stream with errc::pool_stopped
    @par Forks          a child that the application forks gets no items, and errc::forked */
class SNAKEPIT_API stream {
public:
    /// For `pool::stream`.
    explicit stream(std::shared_ptr<detail::stream_core> core) noexcept;
    ~stream();
    stream(stream&&) noexcept;
    /// Cancels the one that was here.
    stream& operator=(stream&&) noexcept;
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;

    /** The next item, in the order in which the tool yields them.

        Several may wait at once: items go to them in the order in which they came.

        @return  nothing when there are no more, whatever the reason: `result` has it. Items that came before an error,
                 a deadline or the death of the worker are still returned
        @par Errors         none
        @par Cancellation   terminal and partial: cancels the call, as the destructor does
        @par Executor       may be awaited on any executor and resumes there. Now and then it lets others run there also
                            when an item is ready
        @par Thread safety  safe
        @par Lifetime       the stream may be destroyed meanwhile, which ends the waiting */
    [[nodiscard]] asio::awaitable<std::optional<value>> next();

    /** How the call ends: the value that the generator returned (null when it just ended), or that of a tool that
        yields nothing. Waits for the end; items that nobody has read until then are dropped.

        Can be had once.

        @par Errors         those of `pool::execute`; stream_ended when it was asked for before. unserializable also
                            when an item that Python has sent cannot be read
        @par Cancellation   terminal and partial: cancels the call, as the destructor does
        @par Executor       may be awaited on any executor and resumes there
        @par Thread safety  safe
        @par Lifetime       the stream may be destroyed meanwhile, which ends the waiting with errc::cancelled */
    [[nodiscard]] asio::awaitable<snakepit::result<value>> result();

    /** Give the tool its next item. Waits while 1 MiB or more is under way that the tool has not used yet; a call that
        still waits for a worker takes as much.

        Several may wait at once: they are served in their order.

        @return  when it is on its way. Whether the tool has used it, its result says
        @par Errors         errc::bad_arguments when the tool takes no input; stream_ended after the end or `finish`;
                            unserializable, message_too_large: the stream goes on; cancelled, forked
        @par Cancellation   terminal and partial: the item is not sent, and the stream goes on
        @par Executor       may be awaited on any executor and resumes there
        @par Thread safety  safe
        @par Lifetime       the stream may be destroyed meanwhile, which ends the waiting with errc::stream_ended */
    [[nodiscard]] asio::awaitable<snakepit::result<void>> send(value item);

    /** There is no more to send: the tool's iterator ends behind what was sent. Does not wait.

        @par Errors         errc::bad_arguments when the tool takes no input; stream_ended after the end or an earlier
                            `finish`; forked
        @par Cancellation   none
        @par Executor       may be awaited on any executor and resumes there
        @par Thread safety  safe
        @par Lifetime       the stream may be destroyed meanwhile */
    [[nodiscard]] asio::awaitable<snakepit::result<void>> finish();

    /// Cancels the call: `next` has no more items, `result` has errc::cancelled. Nothing happens when it has ended.
    void cancel();

    /// For the token forms in async.hpp.
    [[nodiscard]] const std::shared_ptr<detail::stream_core>& core() const noexcept { return core_; }

private:
    static asio::awaitable<std::optional<value>> next_of(std::shared_ptr<detail::stream_core> core);
    static asio::awaitable<snakepit::result<value>> result_of(std::shared_ptr<detail::stream_core> core);
    static asio::awaitable<snakepit::result<void>> send_to(std::shared_ptr<detail::stream_core> core, value item);
    static asio::awaitable<snakepit::result<void>> finish_of(std::shared_ptr<detail::stream_core> core);

    std::shared_ptr<detail::stream_core> core_;
};

}  // namespace snakepit
