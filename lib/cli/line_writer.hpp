#pragma once
// Writes lines to a file or pipe with a thread of its own, so that a slow reader holds up nobody but who asks `full`.

#include "cli/wake_event.hpp"

#include <asio/any_io_executor.hpp>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace snakepit::cli {

/** @par Thread safety  the members belong to the thread of the executor given */
class line_writer {
public:
    /// @param written  run on the executor whenever something was written, or cannot be
    line_writer(int fd, asio::any_io_executor on, std::function<void()> written);
    ~line_writer() { close(); }
    line_writer(const line_writer&) = delete;
    line_writer& operator=(const line_writer&) = delete;

    /// Takes a line to be written, in any case; a newline comes behind it.
    void put(std::string_view line);
    /// Lets go what was put, when what was let go before is written.
    void flush();
    /// The one who reads is behind: put nothing more for now.
    [[nodiscard]] bool full() const noexcept;
    /// Everything put was written, or never will be.
    [[nodiscard]] bool drained();
    /// Why nothing can be written any more; 0: it can.
    [[nodiscard]] int error_number();
    /// How many lines were written, of those put, in their order.
    [[nodiscard]] std::uint64_t lines_written() const noexcept { return lines_written_; }
    /** Puts an end to it: lines that nobody took in a quarter of a second are lost. Only a line of more bytes than a
        pipe takes at once may be cut. */
    void close();

private:
    void write_all();
    [[nodiscard]] int write_out(std::string_view text);

    const int fd_;
    const std::size_t piece_;
    const asio::any_io_executor on_;
    const std::shared_ptr<std::function<void()>> written_;
    wake_event stop_;

    std::string gathered_;  // the putter's

    std::mutex mutex_;
    std::condition_variable changed_;
    std::string leaving_;
    bool closing_ = false;    // nothing more comes but what is gathered
    bool finishing_ = false;  // nothing more comes
    bool over_ = false;
    int error_number_ = 0;
    std::atomic<std::uint64_t> lines_written_ = 0;

    std::thread writer_;
};

}  // namespace snakepit::cli
