#pragma once
// One run of `snakepit map`: lines in, calls, lines out.

#include "cli/call_window.hpp"
#include "cli/input_value.hpp"
#include "cli/line_source.hpp"
#include "cli/line_writer.hpp"
#include "cli/progress.hpp"
#include "cli/reorder_buffer.hpp"

#include <snakepit/options.hpp>
#include <snakepit/pool.hpp>

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

namespace snakepit::cli {

struct map_settings {
    std::string tool;
    call_options call;
    line_form form = line_form::automatic;
    bool keep_order = true;
    bool fail_fast = false;
    bool quiet = false;           ///< no progress
    std::size_t least_calls = 1;  ///< under way at once, while there are lines
    std::size_t most_calls = 1;
    int input = 0;
    std::optional<std::uint64_t> input_bytes;
    std::size_t longest_line = 0;
};

/** Bounded whatever happens: a window of lines is under way or waits for its turn to leave; when it is full, or the
    output's reader is slow, no more is read.

    Everything runs on the pool's executor, in one thread; reading and writing have threads of their own. */
class map_run : public std::enable_shared_from_this<map_run> {
public:
    map_run(pool& workers, map_settings how);

    /// Until the end of the input, a failure of the output, the first failure with fail_fast, or cancellation.
    /// @return  how the command is to end
    [[nodiscard]] static asio::awaitable<int> run(std::shared_ptr<map_run> self);

    /// What was done, in words.
    [[nodiscard]] std::string summary() const { return progress_.summary(counts_); }

private:
    struct handler;

    void pump_soon();
    void pump();
    void write_results();
    void count_written();
    void begin_calls();
    void begin(const line_source::line& line);
    void fill(std::uint64_t place, std::size_t input_bytes, result<value> outcome);
    void show_progress();
    void end();

    pool& workers_;
    const map_settings how_;
    const asio::any_io_executor on_;
    asio::steady_timer over_;  // cancelled at the end
    asio::steady_timer next_show_;
    std::optional<line_source> source_;
    std::optional<line_writer> sink_;
    reorder_buffer results_;
    call_window window_;
    progress progress_;
    counts counts_;
    std::uint64_t lines_put_ = 0;
    std::deque<std::uint64_t> failed_put_;  // which of them are failures and not counted as written
    std::size_t in_flight_ = 0;
    std::size_t done_since_pump_ = 0;
    bool pump_posted_ = false;
    bool stopping_ = false;  // no more lines: one has failed, and that is to end it
    bool cut_off_ = false;   // what the calls under way return is not wanted
    bool over_now_ = false;
    std::optional<std::pair<std::uint64_t, error>> first_failure_;  // with its line
};

}  // namespace snakepit::cli
