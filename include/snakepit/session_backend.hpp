#pragma once
/// @file
/// Where sessions live: in memory, or wherever a team's own `session_backend` keeps them.

#include <snakepit/error.hpp>
#include <snakepit/export.hpp>
#include <snakepit/session_options.hpp>

#include <asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace snakepit {

/// One session. A key that is opened again after its session was closed or has expired names another session, with
/// another incarnation.
struct session_id {
    std::string key;                ///< UTF-8, 1 to `max_name_bytes` bytes
    std::uint64_t incarnation = 0;  ///< never 0 for a session that was opened; otherwise the backend's own business
    friend bool operator==(const session_id&, const session_id&) = default;
};

/// A variable as it is kept.
struct stored_variable {
    std::shared_ptr<const std::string> bytes{};  ///< MessagePack; null: there is no such variable
    std::uint64_t version = 0;                   ///< 0: there is no such variable
};

/// One change of one variable.
struct session_change {
    std::string name;                            ///< UTF-8, 1 to `max_name_bytes` bytes
    std::shared_ptr<const std::string> bytes{};  ///< MessagePack; null: erase it
    std::optional<std::uint64_t> expected{};     ///< the version that it must have now, 0: it must not exist
};

/// What a watcher is told.
struct session_event {
    enum class what {
        changed,  ///< it was set
        erased,   ///< it is no more
        closed    ///< the session was closed or has expired; the last event, without a name
    };
    what kind = what::changed;
    std::string name{};
    std::shared_ptr<const std::string> bytes{};  ///< MessagePack; null unless it was set
    std::uint64_t version = 0;                   ///< that the change took; 0 with `closed`
};

/** What a place for sessions has to do. `tests/unit/session_backend_contract.hpp` checks all that is said here.

    Each session has a counter of versions: a change takes the next number, so versions grow over all variables of a
    session, also when one is erased and set again.

    Each operation is a use of its session and puts its expiry off, `close` and the subscription itself excepted. One
    whose session was closed or has expired, or whose incarnation is another's, fails with errc::session_closed, and
    does not bring it to life again. An operation that fails has changed nothing.

    @par Errors         errc::session_closed, and what each operation names. Trouble of the backend's own (a lost
                        connection) may be any other error
    @par Cancellation   as the backend likes; whoever is cancelled does not know whether a change was made
    @par Executor       awaited on any executor; resumes there
    @par Thread safety  every member is called from any thread at any time
    @par Lifetime       held by shared pointers; what is under way need not survive the last of them. Arguments are the
                        operation's own */
class SNAKEPIT_API session_backend {
public:
    session_backend() = default;
    session_backend(const session_backend&) = delete;
    session_backend& operator=(const session_backend&) = delete;
    virtual ~session_backend();

    /// The session of this key, made if there is none.
    /// @par Errors  errc::invalid_name, too_many_sessions
    [[nodiscard]] virtual asio::awaitable<result<session_id>> open(std::string key) = 0;

    /// @return  the variables in the order of `names`, all as of one moment
    /// @par Errors  errc::session_closed, invalid_name
    [[nodiscard]] virtual asio::awaitable<result<std::vector<stored_variable>>> read(
        session_id id, std::vector<std::string> names) = 0;

    /** All of the changes, at one moment and in their order, or none.

        @param changes  each name at most once
        @return  the version that each change took, in order; 0 for the erasure of what did not exist, which changes
                 nothing and takes none
        @par Errors  errc::session_closed, invalid_name (a name that is there twice, too), version_conflict,
                     too_many_variables, value_too_large, session_too_large */
    [[nodiscard]] virtual asio::awaitable<result<std::vector<std::uint64_t>>> write(
        session_id id, std::vector<session_change> changes) = 0;

    /// @return  the names of all variables, in any order
    /// @par Errors  errc::session_closed
    [[nodiscard]] virtual asio::awaitable<result<std::vector<std::string>>> names(session_id id) = 0;

    /// From now on the session expires when it has not been used for so long. 0: never. Not negative, at most 10,000
    /// days: what is more counts as that.
    /// @par Errors  errc::session_closed
    [[nodiscard]] virtual asio::awaitable<result<void>> expire_after(session_id id, std::chrono::milliseconds ttl) = 0;

    /// The end of the session and its variables.
    /// @par Errors  errc::session_closed: it had ended before
    [[nodiscard]] virtual asio::awaitable<result<void>> close(session_id id) = 0;

    /** Tells of every change that is made after this has completed, those of one session in the order of their
        versions, and of the session's end.

        @param tell  called on any thread, also within operations, one call at a time, holding no lock; must not block;
                     may call the backend. What it throws is lost
        @return  dropping it ends the subscription, also from within `tell`; outside of it `tell` is not running any
                 more when the drop returns, and is not called again. Keeps nothing alive
        @par Errors  errc::session_closed */
    [[nodiscard]] virtual asio::awaitable<result<std::shared_ptr<void>>> watch(
        session_id id, std::function<void(const session_event&)> tell) = 0;
};

/** Sessions in this process's memory, as a pool makes them for itself when it is given no backend.

    Operations complete at once and never suspend. Every one takes the same time however many sessions and variables
    there are, `names` excepted; a sweep frees what has expired while the pool that was given this runs, and otherwise
    the next access to it or the next session that finds the store full.

    @param options  the limits and `ttl`; `backend` is not looked at
    @par Thread safety  safe */
[[nodiscard]] SNAKEPIT_API std::shared_ptr<session_backend> make_memory_backend(const session_options& options);

}  // namespace snakepit
