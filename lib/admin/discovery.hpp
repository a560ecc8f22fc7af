#pragma once
// How an operator finds the pools that run on this machine.

#include <string>
#include <vector>

namespace snakepit::detail {

/// A socket for operators that there is, or was: whether its pool lives shows when it is connected to.
struct found_pool {
    std::string socket;
    std::string link;  ///< by which it was found; empty: it lies where they lie by default
};

/** Those in the directories that pools make below $XDG_RUNTIME_DIR, $TMPDIR, /run/user/UID and /tmp, and those that
   links there lead to.

    @param of_all_users  else only this user's */
[[nodiscard]] std::vector<found_pool> find_pools(bool of_all_users = false);

/// Removes the link to a socket that nobody listens at any more, if it is this user's.
void forget(const found_pool& gone) noexcept;

/** By which a socket is found that lies in a directory that the application has named: a symbolic link in the default
    place. Goes with this object. */
class discovery_link {
public:
    discovery_link() = default;
    discovery_link(const discovery_link&) = delete;
    discovery_link& operator=(const discovery_link&) = delete;
    ~discovery_link() { remove(); }
    /// Nothing when the socket is found without. A place that takes no link is no reason not to start: `snakepit` can
    /// still be told the socket's path.
    void make(const std::string& socket);
    void remove() noexcept;

private:
    std::string path_;
};

}  // namespace snakepit::detail
