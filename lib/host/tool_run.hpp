#pragma once
// One run of a host tool, for one question of a running call.

#include "pool/call.hpp"
#include "pool/helper.hpp"
#include "pool/switchboard.hpp"

#include <snakepit/host_tools.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/strand.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace snakepit::detail {

/** Runs on a strand of its own upon the tool's executor, so that cancelling never meets the coroutine at work.

    @par Thread safety  every public member from any thread */
class tool_run final : public helper, public std::enable_shared_from_this<tool_run> {
public:
    tool_run(std::shared_ptr<const host_tool> tool, std::shared_ptr<switchboard> board, std::shared_ptr<line> asker,
             call_ptr of, std::uint64_t number, std::size_t max_message_bytes);

    void start(std::string arguments);
    /// The worker hears `why` at once; the coroutine is asked to stop, and what it says then nobody hears.
    void give_up(const error& why) override;

private:
    static asio::awaitable<result<value>> run(std::shared_ptr<tool_run> self, std::string arguments);
    void answer(result<value> outcome);

    const std::shared_ptr<const host_tool> tool_;
    const std::shared_ptr<switchboard> board_;
    const std::shared_ptr<line> asker_;
    const call_ptr of_;
    const std::uint64_t number_;
    const std::size_t max_message_bytes_;
    const asio::strand<asio::any_io_executor> on_;
    asio::cancellation_signal cancel_;  // the strand's
    std::atomic<bool> answered_ = false;
};

}  // namespace snakepit::detail
