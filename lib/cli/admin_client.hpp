#pragma once
// A pool's socket for operators, seen from outside.

#include "process/unique_fd.hpp"

#include <snakepit/value.hpp>

#include <tl/expected.hpp>

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

namespace snakepit::cli {

/// Why a pool has not done what it was asked for.
struct admin_failure {
    enum class source {
        pool,     ///< it said so
        silence,  ///< it has not answered, or not in our language
        end,      ///< nobody listens at the socket any more
        choice,   ///< there is not exactly one pool to ask
    };

    std::string code;     ///< as docs/admin.md has it
    std::string message;  ///< for people
    source from = source::pool;

    [[nodiscard]] bool is_gone() const noexcept { return from == source::end; }
};
template <class T>
using admin_result = tl::expected<T, admin_failure>;

/// One connection, on which one request is made after the other.
class admin_client {
public:
    using milliseconds = std::chrono::milliseconds;
    static constexpr milliseconds short_limit{5'000};  ///< for what a pool answers at once
    static constexpr milliseconds no_limit{-1};

    [[nodiscard]] static admin_result<admin_client> connect(const std::string& path);

    /// The reply, if it is a good one. Where there was none the connection is closed: one that came late would be taken
    /// for that to the next request.
    [[nodiscard]] admin_result<value> ask(const value& request, milliseconds limit = short_limit);
    [[nodiscard]] admin_result<void> send(const value& request);
    /// The next line, whatever is in it.
    [[nodiscard]] admin_result<value> hear(milliseconds limit);

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// Of the process that listens; 0: not known.
    [[nodiscard]] int pid() const noexcept { return pid_; }
    /// Its user; nothing: not known.
    [[nodiscard]] std::optional<uid_t> user() const noexcept { return user_; }
    /// Whether a line is there to be heard already.
    [[nodiscard]] bool has_more() const { return in_.find('\n') != in_.npos; }
    /// Readable when there is something to hear beside that.
    [[nodiscard]] int descriptor() const noexcept { return socket_.get(); }

private:
    admin_client(std::string path, detail::unique_fd socket);

    std::string path_;
    detail::unique_fd socket_;
    int pid_ = 0;
    std::optional<uid_t> user_;
    std::string in_;
};

/// The reply as a failure, if it says that it is one.
[[nodiscard]] std::optional<admin_failure> failure_in(const value& reply);

}  // namespace snakepit::cli
