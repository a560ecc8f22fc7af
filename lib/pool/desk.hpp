#pragma once
// Answers what running tools ask of the host: their session's variables, and host tools.

#include "host/registry.hpp"
#include "pool/question.hpp"
#include "pool/switchboard.hpp"
#include "session/read_ahead.hpp"
#include "session/session_host.hpp"

#include <snakepit/error.hpp>

#include <asio/any_io_executor.hpp>
#include <memory>
#include <optional>
#include <string>

namespace snakepit::detail {

/** What lives in memory is answered at once, on gRPC's thread: a variable takes one round trip and wakes nobody else. A
    backend of the team's own is asked by a coroutine on the pool's executor, and host tools run on theirs.

    @par Thread safety  every member from any thread */
class desk : public std::enable_shared_from_this<desk> {
public:
    desk(asio::any_io_executor on, std::shared_ptr<switchboard> board, std::shared_ptr<session_host> sessions,
         std::shared_ptr<host_registry> tools, std::size_t max_message_bytes);

    /// @param from  the line whose worker asks
    /// @return  the breach of protocol when it asks for a call that it was never sent
    [[nodiscard]] std::optional<std::string> take(const std::shared_ptr<line>& from, question q);
    /// The same for a write that is not answered: when it is refused the call fails.
    [[nodiscard]] std::optional<std::string> take(const line& from, session_write w) const;
    /// Has calls take along what their tools will ask for, as far as that is known and there is room.
    /// @param at            of the worker to which they go
    /// @param writes_taken  that have come from it without waiting for an answer
    void lend(out_frame& to, const page::revocations& at, std::uint64_t writes_taken) const;
    [[nodiscard]] const host_registry& tools() const noexcept { return *tools_; }

private:
    [[nodiscard]] finding ask_memory(memory_store& store, const session_id& of, question& q) const;
    static asio::awaitable<void> ask_backend(std::shared_ptr<desk> self, std::shared_ptr<line> from, call_ptr of,
                                             question q);
    void call_host(const std::shared_ptr<line>& from, const call_ptr& of, std::uint64_t number, asked::host_call what);
    void answer(line& to, std::uint64_t number, finding what) const;

    const asio::any_io_executor on_;
    const std::shared_ptr<switchboard> board_;
    const std::shared_ptr<session_host> sessions_;
    const std::shared_ptr<host_registry> tools_;
    const std::size_t max_message_bytes_;
    mutable read_ahead read_ahead_;
};

}  // namespace snakepit::detail
