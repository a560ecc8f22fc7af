#pragma once
// The page that a worker shares with us, for us to read when it has died. py/snakepit/_page.py writes it.

#include "process/unique_fd.hpp"

#include <snakepit/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace snakepit::detail {

/** Memory with a descriptor, of a size that nobody can change, so that reading it never fails.

    In words of 8 bytes: the last call that was begun, the last that is done, and when (CLOCK_MONOTONIC, seconds, a
    double) the one that was begun last was; at the 8th an index, one word for each of the last 4,096 calls: position in
    the log divided by 8, then one bit for a Failure, then 15 bits of size; 0 when there is no entry. Then the log, a
    ring, and at the end room for Python stacks.

    Nothing that is in it is believed: a worker may have written anything.

    @par Thread safety  const members from any thread. They are for a process that has ended: only then its counters
    stand still, and all that it wrote before one of them is there. */
class page {
public:
    /// How far the worker was.
    struct progress {
        std::uint64_t begun = 0;
        std::uint64_t done = 0;
        std::chrono::steady_clock::time_point started;  ///< when it began the call `begun`
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
    /// @return  nothing when it cannot be true
    [[nodiscard]] std::optional<progress> read_progress(std::uint64_t last_sent) const;
    /// The reply to a call that is done, if it was small enough and has not been overwritten.
    [[nodiscard]] std::optional<reply> reply_to(std::uint64_t id, const progress& at) const;
    /// What faulthandler wrote; empty when nothing.
    [[nodiscard]] std::string python_stack() const;

private:
    struct unmap {
        void operator()(const std::byte* memory) const noexcept;
    };

    page(unique_fd descriptor, const std::byte* memory) : descriptor_(std::move(descriptor)), memory_(memory) {}
    [[nodiscard]] std::uint64_t word(std::size_t index) const noexcept;

    unique_fd descriptor_;
    std::unique_ptr<const std::byte, unmap> memory_;
};

}  // namespace snakepit::detail
