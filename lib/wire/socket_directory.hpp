#pragma once
// The private directory in which a pool's socket lives.

#include <snakepit/error.hpp>

#include <string>
#include <string_view>

namespace snakepit::detail {

/// How the names of what we put into a place that others use too begin.
constexpr std::string_view our_prefix = "snakepit-";
/// And how those of the sockets for operators end.
constexpr std::string_view admin_ending = ".admin";

/// Where the directories of pools are made that were not told where: $XDG_RUNTIME_DIR, $TMPDIR or /tmp.
[[nodiscard]] std::string default_place();

/** A directory that only this user can enter, and the path of a socket in it. Removes both at its end, the directory
    when nothing else is in it; one that the user named stays. */
class socket_directory {
public:
    /** @param wanted  `pool_options::socket_directory`: made with mode 0700 if it does not exist; or empty, then a new
                       one below $XDG_RUNTIME_DIR or $TMPDIR or /tmp
        @return  or errc::socket_directory: a symbolic link, not a directory, of another user, open to others, below a
                 directory in which others could replace it, or a path over 107 bytes */
    [[nodiscard]] static result<socket_directory> make(const std::string& wanted);

    socket_directory(socket_directory&&) noexcept;
    socket_directory& operator=(socket_directory&&) noexcept;
    ~socket_directory();

    [[nodiscard]] const std::string& socket_path() const noexcept { return socket_; }
    /// Where the socket for operators belongs, beside it.
    [[nodiscard]] std::string admin_path() const;
    /// Where the pool's ledger belongs.
    [[nodiscard]] std::string ledger_path() const;
    /// The directory, if it is not one that the user named; else empty.
    [[nodiscard]] std::string own_directory() const { return ours_ ? directory_ : std::string(); }
    /// Ends and removes what pools have left here, and in directories of ours beside it, whose hosts are gone; and
    /// links to sockets that have gone with them.
    void clean_up_others() const;

private:
    socket_directory(std::string directory, std::string socket, bool ours);
    std::string directory_;
    std::string socket_;
    bool ours_ = false;
};

}  // namespace snakepit::detail
