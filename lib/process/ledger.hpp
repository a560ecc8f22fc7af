#pragma once
// What a pool has started, in a file, for the next start to clean up behind a host that could not.

#include "process/fork_shield.hpp"
#include "process/strays.hpp"

#include <snakepit/error.hpp>

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit::detail {

/** The ledger of one pool. Locked as long as its host lives: the kernel lets go of the lock, however the host ends.

    A line for the host, then one for each process, appended when it is known. A line without its end was torn and is
    none. Processes that have ended are dropped when the file has doubled, by a new file in its place.

    @par Thread safety  every member from any thread */
class ledger {
public:
    ledger() = default;
    ledger(const ledger&) = delete;
    ledger& operator=(const ledger&) = delete;
    ~ledger() { close(); }

    /// Once.
    /// @param file           must not exist
    /// @param own_directory  goes with the file; empty: none does
    /// @return  or errc::socket_directory: what cannot be written down cannot be cleaned up
    [[nodiscard]] result<void> open(std::string file, std::string own_directory);
    /// Writes down a process that was started. Nothing while it is not open.
    /// @param pidfd  of the process: as long as it has not been reaped the number is its own
    /// @param mark   of what it leaves; 0: none
    void record(std::string_view what, int pid, int pidfd, stray_mark mark = 0);
    /// Removes the file: everything has ended.
    void close() noexcept;

private:
    struct entry {
        std::string line;
        int pid;
        std::uint64_t started;
    };
    void compact();

    std::mutex mutex_;
    std::string file_;
    std::string own_directory_;
    shielded_fd fd_;
    std::string head_;
    std::vector<entry> entries_;
    std::size_t compact_at_ = 0;
};

/** Ends what the ledgers in a directory say whose hosts are gone, and removes their files and sockets.

    A process is killed only when it has both the number and the start time that the ledger says, in the same boot and
    pid namespace, and is this user's; a pidfd, opened before that is looked at, makes sure that nobody else is hit.
    Whoever has the lock cleans: two that come at once do no harm.

    @param directory  of this user and closed to others, else nothing is done
    @param ours       a directory of ours for one pool, which goes too when it is empty */
void clean_up(const std::string& directory, bool ours) noexcept;

}  // namespace snakepit::detail
