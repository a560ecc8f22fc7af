#include "cli/map_run.hpp"

#include "cli/common.hpp"
#include "cli/line_error.hpp"
#include "value/json_text.hpp"

#include <snakepit/async.hpp>

#include <fmt/format.h>
#include <unistd.h>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

namespace snakepit::cli {
namespace {

constexpr auto most_lines = std::size_t{16} << 10;
constexpr std::size_t most_bytes = std::size_t{32} << 20;

}  // namespace

/// A call's end.
struct map_run::handler {
    void operator()(result<value> outcome) {
        --run->in_flight_;
        ++run->done_since_pump_;
        if (run->over_now_) return;
        run->fill(place, input_bytes, std::move(outcome));
        run->pump_soon();
    }

    std::shared_ptr<map_run> run;
    std::uint64_t place = 0;
    std::size_t input_bytes = 0;
};

map_run::map_run(pool& workers, map_settings how)
    : workers_(workers),
      how_(std::move(how)),
      on_(detail::executor_of(*workers.impl())),
      over_(on_, asio::steady_timer::time_point::max()),
      next_show_(on_),
      results_(how_.keep_order),
      window_(how_.least_calls, how_.most_calls),
      progress_(how_.input_bytes, !how_.quiet) {}

asio::awaitable<int> map_run::run(std::shared_ptr<map_run> self) {
    const auto pump_again = [weak = std::weak_ptr(self)] {
        if (const auto me = weak.lock()) me->pump();
    };
    self->source_.emplace(self->how_.input, self->how_.longest_line, self->on_, pump_again);
    self->sink_.emplace(STDOUT_FILENO, self->on_, pump_again);
    self->show_progress();

    asio::error_code woken;
    co_await self->over_.async_wait(asio::redirect_error(asio::use_awaitable, woken));

    self->end();
    const int unread = self->source_->error_number();
    const int unwritten = self->sink_->error_number();
    self->source_.reset();
    self->sink_->close();
    self->count_written();
    if (unwritten != 0) co_return output_failed(unwritten);
    if (self->first_failure_)
        complain(fmt::format("the first line that failed is {}: {}", self->first_failure_->first,
                             self->first_failure_->second.full()));
    if (unread != 0) complain(fmt::format("cannot read the input: {}", std::strerror(unread)));
    co_return unread != 0 || self->counts_.failed > 0 ? exit_failed : exit_ok;
}

void map_run::end() {
    over_now_ = true;
    next_show_.cancel();
    progress_.clear();
}

/// Once for all calls that end together.
void map_run::pump_soon() {
    if (std::exchange(pump_posted_, true)) return;
    asio::post(on_, [self = shared_from_this()] {
        self->pump_posted_ = false;
        self->pump();
    });
}

void map_run::pump() {
    if (over_now_) return;
    window_.done(std::exchange(done_since_pump_, 0), call_window::clock::now());
    count_written();
    write_results();
    begin_calls();
    sink_->flush();
    const bool all_read = stopping_ || source_->ended();
    if (sink_->error_number() != 0 || (all_read && results_.lines() == 0 && sink_->drained())) {
        over_now_ = true;
        over_.cancel();
    } else if (results_.ready() && !sink_->full()) {
        pump_soon();  // lines that failed without a call; others have their turn before
    }
}

void map_run::write_results() {
    while (results_.ready() && !sink_->full()) {
        const auto out = results_.pop();
        sink_->put(out.text);
        if (out.failed) failed_put_.push_back(lines_put_);
        ++lines_put_;
        if (!out.failed || !how_.fail_fast) continue;
        // What came before it is written; what comes behind is not wanted.
        results_ = reorder_buffer(how_.keep_order);
        cut_off_ = true;
        return;
    }
}

/// A line counts when it has left.
void map_run::count_written() {
    const auto written = sink_->lines_written();
    for (; !failed_put_.empty() && failed_put_.front() < written; failed_put_.pop_front()) ++counts_.failed;
    counts_.ok = written - counts_.failed;
}

void map_run::begin_calls() {
    while (!stopping_ && in_flight_ < window_.size() && results_.lines() < most_lines &&
           (results_.bytes() < most_bytes || results_.lines() == 0)) {
        const auto line = source_->take();
        if (!line) return;
        begin(*line);
    }
}

void map_run::begin(const line_source::line& line) {
    const auto size = line.text.size();
    const auto place = results_.open(size);
    counts_.bytes_read = source_->bytes_taken();
    auto item = line.too_long ? tl::unexpected(error(errc::message_too_large,
                                                     fmt::format("the line has more than {} bytes", how_.longest_line)))
                              : value_of_line(line.text, how_.form);
    if (!item) return fill(place, size, tl::unexpected(item.error()));
    value arguments = value::array();
    arguments.push_back(*std::move(item));
    ++in_flight_;
    async_execute(workers_, how_.tool, std::move(arguments), how_.call, handler{shared_from_this(), place, size});
}

void map_run::fill(std::uint64_t place, std::size_t input_bytes, result<value> outcome) {
    if (cut_off_) return;
    auto text = outcome.and_then([](const value& v) { return detail::to_json_text(v); });
    if (text) return results_.fill(place, input_bytes, {*std::move(text), false});
    const auto line = place + 1;
    results_.fill(place, input_bytes, {line_error(text.error(), line), true});
    if (!first_failure_ || line < first_failure_->first) first_failure_ = {line, text.error()};
    if (how_.fail_fast) stopping_ = true;
}

void map_run::show_progress() {
    if (over_now_ || !progress_.is_shown()) return;
    progress_.show(counts_);
    next_show_.expires_after(std::chrono::milliseconds(250));
    next_show_.async_wait([weak = weak_from_this()](const asio::error_code& stopped) {
        if (const auto self = weak.lock(); self && !stopped) self->show_progress();
    });
}

}  // namespace snakepit::cli
