#pragma once
/// @file
/// What can go wrong: `errc` says what happened, `failure` says what to do about it, `error` is what travels.

#include <snakepit/export.hpp>

#include <fmt/format.h>
#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <tl/expected.hpp>
#include <vector>

namespace snakepit {

/// What happened. The numbers are stable.
enum class errc {
    // The call did not run, or its outcome is not known.
    queue_full = 1,         ///< as many calls wait as `pool_options::queue_limit` allows; see `error::retry_after`
    deadline_exceeded = 2,  ///< `call_options::timeout` was over before the reply came
    cancelled = 3,          ///< the caller's cancellation reached the call
    worker_lost = 4,        ///< the worker that held the call ended; see `error::exit`
    pool_stopped = 5,       ///< the pool is stopping, has stopped, or was destroyed
    not_started = 6,        ///< `start()` has not completed with success
    already_started = 7,    ///< `start()` was called before
    pool_degraded = 8,      ///< every worker has failed too often and is out of service; the pool goes on trying
    poison_call = 9,        ///< two workers in a row ended while they ran this call; it is not tried again
    tool_degraded = 55,     ///< the last calls of this tool all ended with their workers; it is tried again soon
    pool_draining = 56,     ///< an operator lets no more calls in: see `snakepit drain`

    // The call was wrong, or the tool did not like it.
    unknown_tool = 10,       ///< no such tool; the message names the nearest ones
    bad_arguments = 11,      ///< unknown, missing or too many arguments; the tool was not run
    tool_raised = 12,        ///< the tool raised; see `error::python`
    unserializable = 13,     ///< a value that cannot travel; the message names the path inside it
    message_too_large = 14,  ///< a value over `pool_options::max_message_bytes`, either way
    type_mismatch = 15,      ///< the reply cannot become the C++ type that was asked for

    // The pool could not start.
    invalid_options = 20,     ///< every mistake is in the message
    python_unfit = 21,        ///< no Python that can run a worker; the message says why not, for each one
    module_failed = 22,       ///< the user's module could not be imported, has no tools, or its setup failed
    start_timeout = 23,       ///< a worker was not ready within `pool_options::start_timeout`
    launch_failed = 24,       ///< the system refused a process, a descriptor, a socket
    socket_directory = 25,    ///< not private, a symbolic link, or its path is too long
    protocol_mismatch = 26,   ///< the worker's Python package speaks another major version; both are named
    protocol_violation = 27,  ///< a worker broke the protocol while it was started; later that is worker_lost

    // The pool is another process's.
    forked = 30,  ///< this process was forked from the one that the pool belongs to; see `pool`

    // A session would not. Nothing was changed.
    session_closed = 40,      ///< it was closed or has expired; its key may name another one by now
    version_conflict = 41,    ///< the variable does not have the version that was expected; somebody was faster
    invalid_name = 42,        ///< of a session or variable: empty, over 200 bytes, not UTF-8, or twice in one change
    too_many_sessions = 43,   ///< as many as `session_options::max_sessions` allows
    too_many_variables = 44,  ///< more than `session_options::max_variables` in one session
    value_too_large = 45,     ///< over `session_options::max_value_bytes`
    session_too_large = 46,   ///< over `session_options::max_session_bytes` in one session
    backend_failed = 47,      ///< the team's own `session_backend` threw

    // Python called C++.
    host_tool_failed = 50,  ///< a host tool threw
    would_deadlock = 51,    ///< a host tool called the pool, and all workers would wait for each other

    stream_ended = 52,  ///< nothing more can be sent or told: see the stream's result

    // A session has its worker; see `affinity`. The call did not run.
    session_busy = 53,   ///< affinity::strict_fail_fast, and the session's worker has no room
    session_moved = 54,  ///< the session's worker has gone, and what it had in Python; the next call has another one
    listen_failed = 57   ///< an address of the options cannot be listened on: taken, not ours, or not valid
};

/// What to do about an error: compare `error::code()` with these.
enum class failure {
    retry_elsewhere = 1,  ///< a later or other attempt may succeed; mind that the tool may have acted already
    caller_gave_up = 2,   ///< the caller's own deadline or cancellation
    permanent = 3         ///< the same again fails the same way
};

/// The category of `errc`, named "snakepit".
[[nodiscard]] SNAKEPIT_API const std::error_category& error_category() noexcept;
/// The category of `failure`, named "snakepit.failure".
[[nodiscard]] SNAKEPIT_API const std::error_category& failure_category() noexcept;

[[nodiscard]] SNAKEPIT_API std::error_code make_error_code(errc e) noexcept;
[[nodiscard]] SNAKEPIT_API std::error_condition make_error_condition(failure f) noexcept;

/// One Python exception of a chain.
struct python_exception {
    std::string type;     ///< class, qualified with its module unless built in ("ValueError", "app.Missing")
    std::string message;  ///< `str()` of it, at most 8 KiB
};

/// What a Python tool raised.
struct python_error : python_exception {
    std::string traceback;                 ///< as Python prints it: files, lines, chained exceptions
    std::vector<python_exception> causes;  ///< what it was raised from, nearest first
};

/// How a worker process ended.
struct worker_exit {
    int code = -1;            ///< exit code, or -1 when a signal ended it or it is not known
    int signal = 0;           ///< signal number, or 0
    std::string output_tail;  ///< the last lines it wrote to stdout and stderr
    /// Where its Python code was, most recent call first: in a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT), or
    /// before it was ended for its silence. Empty when it was ended otherwise.
    std::string python_stack{};
    std::string out_of_memory{};          ///< what says that the kernel killed it for want of memory; empty: nothing
    std::string running_tool{};           ///< that it ran when it ended; empty: none, or not known
    std::chrono::microseconds running{};  ///< how long that tool had run
    std::chrono::milliseconds uptime{};   ///< of the process
    std::uint64_t resident_bytes = 0;     ///< its memory as of its last heartbeat; 0: there was none yet
    /// "exit code 3", "signal 9 (SIGKILL)", or "unknown".
    [[nodiscard]] SNAKEPIT_API std::string describe() const;
};

/** Why an operation has no value. Cheap to copy and to move; immutable once made.

    @par Thread safety  like an int: distinct objects may be used from distinct threads */
class SNAKEPIT_API error {
public:
    /// @param message  what was wrong and what to do, in words; may be empty
    error(errc code, std::string message);

    [[nodiscard]] std::error_code code() const noexcept { return code_; }
    [[nodiscard]] const std::string& message() const noexcept;
    /// Name of the tool that was called; empty when the error is not about one.
    [[nodiscard]] const std::string& tool() const noexcept;
    /// Id of the worker concerned ("w0"); empty when there is none.
    [[nodiscard]] const std::string& worker() const noexcept;
    /// What Python raised, or null. Lives as long as any copy of this error.
    [[nodiscard]] const python_error* python() const noexcept;
    /// How the worker ended, or null. Lives as long as any copy of this error.
    [[nodiscard]] const worker_exit* exit() const noexcept;

    /// When another attempt has better prospects, from the moment of the error on; at least 1 ms for errc::queue_full
    /// and tool_degraded, 0 (nobody knows) for all others.
    [[nodiscard]] std::chrono::milliseconds retry_after() const noexcept;

    /// One line for logs: code, tool, worker, message.
    [[nodiscard]] std::string summary() const;
    /// Everything: the summary, then the traceback and the worker's last output.
    [[nodiscard]] std::string full() const;

    /// Copies with one more fact; used where the fact becomes known.
    [[nodiscard]] error with_tool(std::string name) const;
    [[nodiscard]] error with_worker(std::string id) const;
    [[nodiscard]] error with_python(python_error what) const;
    [[nodiscard]] error with_exit(worker_exit how) const;
    [[nodiscard]] error with_retry_after(std::chrono::milliseconds when) const;

    friend bool operator==(const error& e, errc c) noexcept { return e.code_ == make_error_code(c); }
    /// Same code and message.
    friend bool operator==(const error& a, const error& b) noexcept {
        return a.code_ == b.code_ && a.message() == b.message();
    }

private:
    struct detail;
    template <class F>
    error changed(F f) const;
    std::error_code code_;
    std::shared_ptr<const detail> detail_;
};

/// A value or an error.
template <class T>
using result = tl::expected<T, error>;

SNAKEPIT_API std::ostream& operator<<(std::ostream& to, const error& e);

}  // namespace snakepit

template <>
struct std::is_error_code_enum<snakepit::errc> : std::true_type {};
template <>
struct std::is_error_condition_enum<snakepit::failure> : std::true_type {};

/// Prints `error::full()`.
template <>
struct fmt::formatter<snakepit::error> : fmt::formatter<std::string_view> {
    template <class Context>
    auto format(const snakepit::error& e, Context& ctx) const {
        return fmt::formatter<std::string_view>::format(e.full(), ctx);
    }
};
