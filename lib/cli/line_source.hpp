#pragma once
// Lines of a file or pipe, read by a thread of its own a little ahead.

#include "cli/wake_event.hpp"

#include <asio/any_io_executor.hpp>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace snakepit::cli {

/** @par Thread safety  the members belong to the thread of the executor given */
class line_source {
public:
    struct line {
        std::string_view text;  ///< without its newline; valid until the next one is taken
        bool too_long = false;  ///< then there is no text
    };

    /** Begins to read.
        @param longest  bytes of a line that is not too long
        @param arrived  run on the executor when there is more to take, or the end */
    line_source(int fd, std::size_t longest, asio::any_io_executor on, std::function<void()> arrived);
    /// Stops at once, also while the input is silent.
    ~line_source();
    line_source(const line_source&) = delete;
    line_source& operator=(const line_source&) = delete;

    /// The next line that is here.
    [[nodiscard]] std::optional<line> take();
    /// All was read and taken.
    [[nodiscard]] bool ended();
    /// Why reading ended before the end of the input; 0: it did not.
    [[nodiscard]] int error_number();
    /// Bytes of the lines taken.
    [[nodiscard]] std::uint64_t bytes_taken() const noexcept { return bytes_taken_; }

private:
    struct block {
        std::string text;       // whole lines, each with a newline; the last one of the input maybe without
        bool too_long = false;  // stands for one line
        std::size_t bytes = 0;  // of the input
    };

    void read_all();
    bool hand_over(block b);
    void finish(int error_number);
    void announce();

    const int fd_;
    const std::size_t longest_;
    const asio::any_io_executor on_;
    const std::shared_ptr<std::function<void()>> arrived_;
    wake_event stop_;

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<block> blocks_;
    std::size_t waiting_bytes_ = 0;
    bool finished_ = false;
    bool stopped_ = false;
    int error_number_ = 0;

    // The taker's.
    block current_;
    std::size_t offset_ = 0;
    std::uint64_t bytes_taken_ = 0;

    std::thread reader_;
};

}  // namespace snakepit::cli
