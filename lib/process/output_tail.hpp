#pragma once
// What a worker writes to stdout and stderr: always drained, the last lines kept.

#include "process/fork_shield.hpp"
#include "process/output_line.hpp"
#include "process/stderr_copy.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/strand.hpp>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace snakepit::detail {

/** Reads one pipe until its end, in a loop on a strand.

    @par Thread safety  use it on its strand */
class output_tail : public std::enable_shared_from_this<output_tail> {
public:
    /// @param line  of a length of its own: one without an end comes in pieces
    using listener = std::function<void(const output_line& line)>;
    /// @param prefix  put before each line that is copied to the host's stderr; empty: none are
    /// @param tell    hears each line; empty: nobody does
    output_tail(asio::strand<asio::any_io_executor> on, shielded_fd pipe, std::string prefix, listener tell = {});
    /// Starts to read.
    void start();
    /// Reads what is there without waiting.
    void drain();
    /// Stops reading, also when a grandchild still holds the pipe.
    void close();
    /// The last lines, at most 40 and 8 KiB, without the tags of calls. Each from its beginning, which says what it is
    /// about: of a long one the end is left out.
    [[nodiscard]] std::string text() const;

private:
    void wait();
    /// @return  whether there may be more later
    bool read_available();
    void take(std::string_view text);
    void take_line(std::string_view line);
    /// As much of a line without an end as there is.
    void take_piece();

    asio::posix::stream_descriptor pipe_;
    fork_shield shield_;
    std::optional<stderr_copy> copy_;
    const listener tell_;
    std::string unfinished_;
    bool goes_on_ = false;  // the line whose pieces come has begun before
    std::string kept_;
};

/// What a process has written until now, stdout first.
[[nodiscard]] std::string joined_output(output_tail& out, output_tail& err);

}  // namespace snakepit::detail
