#pragma once
// The page that a worker shares with us: what we read when it has died, and what it reads while it lives.
// py/snakepit/_page.py has the other side.

#include "process/unique_fd.hpp"

#include <snakepit/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace snakepit::detail {

/** Memory with a descriptor, of a size that nobody can change, so that reading it never fails.

    In words of 8 bytes: the last call that was begun, the last that is done, and when (CLOCK_MONOTONIC, seconds, a
    double) the one that was begun last was; at the 8th an index, one word for each of the last 4,096 calls: position in
    the log divided by 8, then one bit for a Failure, then 15 bits of size; 0 when there is no entry. Then the log, a
    ring; one word for each of the last 4,096 calls, which is ours to write; two words for each of 4,096 places in which
    calls may run, and at the end room for Python stacks.

    A worker that runs several calls at once does not say which call is the last that is done. It says in these places
    which ones run: the id, 0 when the place is free, and when the call was begun, as above; 0 while it has come to its
    place and waits for the main thread. Its entries in the log begin with a word that is the id: of two calls 4,096
   apart the older one may be done later.

    Nothing that is in it is believed: a worker may have written anything.

    @par Thread safety  const members from any thread. Those that read are for a process that has ended: only then its
    counters stand still, and all that it wrote before one of them is there. */
class page {
public:
    /// Where a worker sees at once that what it was lent for a call is not true any more.
    /// @par Thread safety  safe
    class revocations {
    public:
        /// @param call  id of the call. Whatever the worker does after this has returned, it sees it
        void add(std::uint64_t call) const noexcept;

    private:
        friend class page;
        explicit revocations(std::shared_ptr<std::byte> memory) : memory_(std::move(memory)) {}
        std::shared_ptr<std::byte> memory_;
    };

    /// How far the worker was.
    struct progress {
        std::uint64_t begun = 0;
        std::uint64_t done = 0;
        std::chrono::steady_clock::time_point started;  ///< when it began the call `begun`
        struct place {
            std::uint64_t id = 0;
            std::chrono::steady_clock::time_point started;
            bool waits = false;  ///< for the main thread: it has not begun
        };
        /// Of a worker that runs several at once: what it runs, by id; `done` is 0.
        std::optional<std::vector<place>> running{};
    };
    /// A reply as it was to leave.
    struct reply {
        bool failed = false;  ///< a Failure of work.proto, else a value
        std::string bytes;
    };

    /// @return  or errc::launch_failed when the system has no descriptor or memory left
    [[nodiscard]] static result<page> make();
    page(page&&) noexcept = default;
    page& operator=(page&&) noexcept = default;

    /// The descriptor that the worker is to have; not ours afterwards.
    [[nodiscard]] unique_fd take_descriptor() noexcept { return std::move(descriptor_); }

    /// @param last_sent  id of the last call that the worker was sent
    /// @param several    whether it runs more than one at once
    /// @param at_once    most calls that it begins and ends together
    /// @return  nothing when it cannot be true
    [[nodiscard]] std::optional<progress> read_progress(std::uint64_t last_sent, bool several = false,
                                                        int at_once = 1) const;
    /// A call that runs now, in a process that lives: of a batch its first. One that waits in its place is none.
    struct at_work {
        std::uint64_t id = 0;
        std::chrono::steady_clock::time_point since;
    };
    [[nodiscard]] std::vector<at_work> read_at_work(bool several) const;
    /// Id of the last call that was begun, as the process says, also while it lives.
    [[nodiscard]] std::uint64_t begun() const noexcept;
    /// Ids of what a worker runs that runs several at once. Also while it lives, when they are what it just ran.
    [[nodiscard]] std::vector<std::uint64_t> read_running() const;
    /// The reply to a call that is done, if it was small enough and has not been overwritten.
    [[nodiscard]] std::optional<reply> reply_to(std::uint64_t id, const progress& at) const;
    /// What faulthandler wrote; empty when nothing.
    [[nodiscard]] std::string python_stack() const;
    /// Half of the room is kept for the end of the process.
    [[nodiscard]] bool has_room_for_stack() const noexcept;
    /// What faulthandler wrote while the process lives; what is taken is not there later.
    [[nodiscard]] std::string take_stack() const;
    [[nodiscard]] page::revocations revoked() const { return revocations(memory_); }

private:
    page(unique_fd descriptor, std::shared_ptr<std::byte> memory)
        : descriptor_(std::move(descriptor)), memory_(std::move(memory)) {}
    [[nodiscard]] std::uint64_t word(std::size_t index) const noexcept;
    [[nodiscard]] std::chrono::steady_clock::time_point time_at(std::size_t index) const noexcept;
    [[nodiscard]] std::optional<reply> reply_of_several(std::uint64_t id, const progress& at) const;

    unique_fd descriptor_;
    std::shared_ptr<std::byte> memory_;
};

}  // namespace snakepit::detail
