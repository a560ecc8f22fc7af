#pragma once
/// @file
/// Sessions: variables that outlive calls and workers.

#include <snakepit/error.hpp>
#include <snakepit/export.hpp>
#include <snakepit/session_backend.hpp>
#include <snakepit/value.hpp>

#include <asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace snakepit {
namespace detail {
class session_host;
class session_state;
class watch_queue;
}  // namespace detail

/// A variable of a session.
struct variable {
    value data{};
    std::uint64_t version = 0;  ///< grows with each change of any variable of the session; never 0
};

/// One change of a variable, as a watch tells it.
struct variable_event {
    std::string name{};
    std::optional<value> data{};  ///< what it was set to; nothing: it was erased
    std::uint64_t version = 0;    ///< that the change took
    std::uint64_t missed = 0;     ///< changes just before this one that were left out, because nobody fetched them
};

/** The changes of one session from the moment when `session::watch` completed.

    @par Thread safety  `next` from any thread; several wait in the order in which they asked
    @par Lifetime       destruction ends the watch, and a `next` that waits with errc::cancelled */
class SNAKEPIT_API session_watch {
public:
    /// Watches nothing, as does what was moved from: `next` says errc::session_closed.
    session_watch() noexcept;
    ~session_watch();
    session_watch(session_watch&&) noexcept;
    session_watch& operator=(session_watch&&) noexcept;
    session_watch(const session_watch&) = delete;
    session_watch& operator=(const session_watch&) = delete;

    /** Wait for the next change. When more have come than the watch keeps, the oldest are dropped and counted.

        @return  the changes in the order of their versions. Never throws for an outcome listed here.
        @par Errors         errc::session_closed when the session was closed or has expired, pool_stopped: then it is
                            over, and every further call says the same; cancelled; unserializable when another backend
                            brought what is no value: the next call goes on behind it
        @par Cancellation   terminal and partial; no change is lost
        @par Executor       may be awaited on any executor and resumes there
        @par Thread safety  safe
        @par Lifetime       the watch may die first, which ends the wait */
    [[nodiscard]] asio::awaitable<result<variable_event>> next();

private:
    friend class session;
    session_watch(std::shared_ptr<detail::watch_queue> queue, std::shared_ptr<void> subscription);
    std::shared_ptr<detail::watch_queue> queue_;
    std::shared_ptr<void> subscription_;
};

/** A handle on the session of one key: `pool.session("alice")`. Cheap to copy; copies are the same handle.

    The first operation opens the session, which makes it if there is none. From then on the handle means that very
    session: when it is closed or expires, every operation fails with errc::session_closed, also when another session
    of the same key is opened. `pool.session` gives a handle on that one.

    Each operation is a use and puts the session's expiry off. Operations on sessions in memory complete at once, on the
    caller's thread.

    @par Errors         of every operation: errc::session_closed; invalid_name, too_many_sessions when it opens the
                        session; pool_stopped after `pool::stop` has completed or the pool's destruction; forked;
                        cancelled; with another backend its own. None is thrown
    @par Cancellation   terminal and partial, where the backend waits: whoever is cancelled does not know whether a
                        change was made. What completes at once is not cancelled
    @par Executor       may be awaited on any executor and resumes there
    @par Thread safety  every member from any thread at any time
    @par Lifetime       the handle, its pool and all arguments may die while an operation is under way */
class SNAKEPIT_API session {
public:
    /// What a watch keeps if it is not told otherwise.
    static constexpr std::size_t watch_limit = 1'024;

    [[nodiscard]] const std::string& key() const noexcept;

    /// @return  nothing when there is no such variable
    /// @par Errors  those of every operation, invalid_name
    [[nodiscard]] asio::awaitable<result<std::optional<variable>>> get(std::string name);

    /// @return  the version that it has now
    /// @par Errors  those of every operation; invalid_name, unserializable, value_too_large, too_many_variables,
    ///              session_too_large: nothing has changed
    [[nodiscard]] asio::awaitable<result<std::uint64_t>> set(std::string name, value data);

    /// @return  whether there was such a variable
    /// @par Errors  those of every operation, invalid_name
    [[nodiscard]] asio::awaitable<result<bool>> erase(std::string name);

    /// Set it if it has this version.
    /// @param expected  0: it must not exist
    /// @return  the version that it has now
    /// @par Errors  those of `set`; version_conflict: somebody else has changed it
    [[nodiscard]] asio::awaitable<result<std::uint64_t>> compare_and_set(std::string name, std::uint64_t expected,
                                                                         value data);

    /** Set it to what a function makes of it, and again whenever somebody else was faster.

        With g++ 12 give a function that captures more than references and numbers a name first: it destroys closures
        that are made in a co_await expression twice.

        @param change  value(std::optional<value> present); called on the caller's executor, as often as it takes. What
                       it throws is thrown
        @return  what the variable is now
        @par Errors         those of `set`
        @par Cancellation   also between two attempts */
    template <class F>
    [[nodiscard]] asio::awaitable<result<variable>> update(std::string name, F&& change) {
        // Made here, and not where it is awaited: g++ 12 destroys a std::function there twice.
        return update_with(state_, std::move(name),
                           std::function<value(std::optional<value>)>(std::forward<F>(change)));
    }

    /// @return  the names of all variables, in any order
    [[nodiscard]] asio::awaitable<result<std::vector<std::string>>> keys();

    /// The session expires when it has not been used for so long. 0: never; at most 10,000 days.
    /// @par Errors  those of every operation; bad_arguments when it is negative
    [[nodiscard]] asio::awaitable<result<void>> expire_after(std::chrono::milliseconds ttl);

    /// The end of the session and all its variables.
    [[nodiscard]] asio::awaitable<result<void>> close();

    /// Watch all its variables.
    /// @param limit  changes that are kept until `next` fetches them, at least 1
    [[nodiscard]] asio::awaitable<result<session_watch>> watch(std::size_t limit = watch_limit);

    /// For the pool.
    explicit session(std::shared_ptr<detail::session_state> shared);

private:
    using state = std::shared_ptr<detail::session_state>;
    static asio::awaitable<result<variable>> update_with(state on, std::string name,
                                                         std::function<value(std::optional<value>)> change);
    static asio::awaitable<result<session_watch>> watch_on(state on, std::size_t limit);

    state state_;
};

}  // namespace snakepit
