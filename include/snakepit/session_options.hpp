#pragma once
/// @file
/// How the sessions of a pool are configured.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace snakepit {

class session_backend;

/// Longest key of a session and longest name of a variable, in bytes of UTF-8. Neither may be empty.
inline constexpr std::size_t max_name_bytes = 200;

/// Which worker runs the calls of a session. The variables of a session live in the host and are the same everywhere;
/// what a tool keeps in Python is not. A call that a host tool makes never waits for a worker, which may wait for it:
/// its affinity is a hint at most, and it does not move its session.
enum class affinity : std::uint8_t {
    none,             ///< any; nothing is remembered
    hint,             ///< the worker of the session's last call if it has room, however busy it is, else any
    strict,           ///< that worker, waiting for a place there; calls of other sessions do not wait for this one
    strict_fail_fast  ///< that worker, or errc::session_busy at once when it has no room
};

/// What becomes of strict calls when the worker of their session has died, is replaced or leaves: it is not waited for.
enum class when_worker_goes : std::uint8_t {
    migrate,  ///< they go on at another one; `reply::moved` tells
    fail      ///< they end with errc::session_moved; the next call is given another worker
};

/** The limits of a pool's sessions, and where they live.

    The limits bind the memory backend; another backend has its own, and of these `max_value_bytes` alone is checked
    before it is asked. Of max_sessions sessions the pool remembers their workers, those that were used last, whatever
    the backend; no session is forgotten while it has a call.

    @par Thread safety  a plain value; the pool keeps a copy */
struct session_options {
    /// Sessions that there may be at once. 1 to 100,000,000.
    std::size_t max_sessions = 1'000'000;
    /// Variables of one session. 1 to 1,000,000.
    std::size_t max_variables = 10'000;
    /// One value, encoded as MessagePack. 1 byte to 1 GiB.
    std::size_t max_value_bytes = std::size_t{1} << 20;
    /// Names and values of one session together. 1 byte to 1 GiB.
    std::size_t max_session_bytes = std::size_t{16} << 20;
    /// How long a session lives that nobody uses; `session::expire_after` changes it for one. 0: for ever. At most
    /// 10,000 days.
    std::chrono::milliseconds ttl{std::chrono::hours(1)};
    /// For calls that do not say it themselves, `call_options::affinity`. Variables live in the host, so that any
    /// worker will do; another affinity is for tools that keep something of a session in Python.
    snakepit::affinity affinity = snakepit::affinity::none;
    snakepit::when_worker_goes when_worker_goes = snakepit::when_worker_goes::migrate;
    /// Null: in this process's memory, for as long as the pool lives.
    std::shared_ptr<session_backend> backend{};
};

}  // namespace snakepit
