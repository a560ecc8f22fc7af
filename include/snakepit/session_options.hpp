#pragma once
/// @file
/// How the sessions of a pool are configured.

#include <chrono>
#include <cstddef>
#include <memory>

namespace snakepit {

class session_backend;

/// Longest key of a session and longest name of a variable, in bytes of UTF-8. Neither may be empty.
inline constexpr std::size_t max_name_bytes = 200;

/** The limits of a pool's sessions, and where they live.

    The limits bind the memory backend; another backend has its own, and of these `max_value_bytes` alone is checked
    before it is asked.

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
    /// Null: in this process's memory, for as long as the pool lives.
    std::shared_ptr<session_backend> backend{};
};

}  // namespace snakepit
