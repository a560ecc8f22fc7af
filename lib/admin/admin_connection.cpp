#include "admin/admin_connection.hpp"

#include "pool/pool_impl.hpp"
#include "pool/refusals.hpp"

#include <fmt/format.h>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/read_until.hpp>
#include <asio/redirect_error.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>

namespace snakepit::detail {
namespace {
using namespace std::chrono_literals;

constexpr auto write_limit = 10s;              // for an answer that nobody reads
constexpr std::size_t event_capacity = 1'024;  // that wait for who follows
constexpr int burst = 64;                      // events, then the pool has its turn
constexpr auto pause_after_burst = 10ms;

/// The answer to what is done at once, or has failed.
std::string line_of(const result<void>& done, const value& content = value::object()) {
    return done ? admin::ok_line(content) : admin::refusal_line(admin::refusal_of(done.error()));
}

}  // namespace

admin_facts::admin_facts(const std::shared_ptr<pool_impl>& of) : pool(of), events(of->events()), recent(*events) {}

admin_connection::admin_connection(strand on, asio::local::stream_protocol::socket peer, fork_shield shield,
                                   std::shared_ptr<const admin_facts> facts)
    : on_(std::move(on)),
      facts_(std::move(facts)),
      peer_(std::move(peer)),
      shield_(std::move(shield)),
      patience_(on_) {}

void admin_connection::start(std::function<void()> ended) {
    watch_for_its_end();
    asio::co_spawn(on_, serve(shared_from_this()),
                   asio::bind_cancellation_slot(
                       stop_.slot(), [self = shared_from_this(), ended = std::move(ended)](std::exception_ptr) {
                           self->stop();
                           ended();
                       }));
}

void admin_connection::finish() {
    is_finishing_ = true;
    if (idle_since_ != clock::time_point::max()) stop();
}

void admin_connection::stop() {
    if (std::exchange(gone_, true)) return;
    patience_.cancel();
    {
        const fork_pause until_it_is_closed;
        shield_.lift(until_it_is_closed);
        asio::error_code none;
        peer_.close(none);
    }
    stop_.emit(asio::cancellation_type::terminal);
}

/// A peer that has closed its end, and not only for writing.
void admin_connection::watch_for_its_end() {
    peer_.async_wait(asio::local::stream_protocol::socket::wait_error,
                     [weak = weak_from_this()](const asio::error_code& failed) {
                         if (const auto self = weak.lock(); self && !failed) self->stop();
                     });
}

asio::awaitable<void> admin_connection::serve(std::shared_ptr<admin_connection> self) {
    co_await asio::this_coro::throw_if_cancelled(false);
    std::string input;
    auto lines = asio::dynamic_buffer(input, longest_request + 1);
    while (!self->gone_ && !self->is_finishing_) {
        asio::error_code failed;
        self->idle_since_ = clock::now();
        const auto size = co_await asio::async_read_until(self->peer_, lines, '\n',
                                                          asio::redirect_error(asio::use_awaitable, failed));
        if (failed == asio::error::not_found) {
            admin::refusal why{"bad_request", fmt::format("a line has at most {} bytes", longest_request)};
            co_await say(self, admin::refusal_line(why));
            co_return;
        }
        if (failed) co_return;  // also behind the last line: one without its end is none
        self->idle_since_ = clock::time_point::max();
        std::string line = input.substr(0, size - 1);
        lines.consume(size);
        std::string answered = co_await answer(self, std::move(line));
        co_await say(self, std::move(answered));
        if (self->to_follow_) co_return co_await follow(self, self->to_follow_->filter);
    }
}

asio::awaitable<void> admin_connection::say(std::shared_ptr<admin_connection> self, std::string text) {
    if (self->gone_) co_return;
    self->patience_.expires_after(write_limit);
    self->patience_.async_wait([weak = std::weak_ptr(self)](const asio::error_code& in_time) {
        if (const auto me = weak.lock(); me && !in_time) me->stop();
    });
    asio::error_code failed;
    co_await asio::async_write(self->peer_, asio::buffer(text), asio::redirect_error(asio::use_awaitable, failed));
    self->patience_.cancel();  // if it could not be written, reading will fail too
}

/// Awaits one of the pool's operations, or the peer's end: then the operation goes on, and nobody hears of it.
template <class T, class Begin>
asio::awaitable<result<T>> admin_connection::outcome_of(std::shared_ptr<admin_connection> self, Begin begin) {
    struct pending {
        asio::steady_timer done;
        result<T> outcome = tl::unexpected(error(errc::cancelled, "the operator has gone"));
    };
    const auto wait =
        std::make_shared<pending>(pending{asio::steady_timer(self->on_, asio::steady_timer::time_point::max())});
    const auto heard = [wait](result<T> outcome) {
        wait->outcome = std::move(outcome);
        wait->done.cancel();
    };
    begin(completion<result<T>>(heard, self->on_));
    asio::error_code woken;
    co_await wait->done.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    co_return std::move(wait->outcome);
}

asio::awaitable<std::string> admin_connection::answer(std::shared_ptr<admin_connection> self, std::string line) {
    const auto asked = admin::parse(line);
    if (!asked) co_return admin::refusal_line(asked.error());
    const auto pool = self->facts_->pool.lock();
    if (!pool) co_return line_of(tl::unexpected(stopped_error()));

    if (std::holds_alternative<admin::status>(*asked))
        co_return admin::ok_line(admin::status_of(*pool, self->facts_->birth));
    if (std::holds_alternative<admin::workers>(*asked))
        co_return admin::ok_line(args("workers", admin::workers_of(*pool)));
    if (std::holds_alternative<admin::metrics>(*asked))
        co_return admin::ok_line(args("metrics", pool->telemetry().metrics_text()));
    if (std::holds_alternative<admin::drain>(*asked)) {
        pool->drain();
        co_return admin::ok_line();
    }
    if (std::holds_alternative<admin::resume>(*asked)) {
        pool->resume();
        co_return admin::ok_line();
    }
    if (const auto* k = std::get_if<admin::kill>(&*asked))
        co_return line_of(pool->kill(k->worker), args("worker", k->worker));
    if (const auto* l = std::get_if<admin::loglevel>(&*asked)) {
        if (l->level) pool->set_log_level(*l->level);
        co_return admin::ok_line(args("level", to_string(pool->least_logged())));
    }
    if (const auto* s = std::get_if<admin::stack>(&*asked)) {
        const auto begin = [&](completion<result<std::string>> done) {
            pool->begin_stacks(s->worker, std::move(done));
        };
        const auto text = co_await outcome_of<std::string>(self, begin);
        if (!text) co_return admin::refusal_line(admin::refusal_of(text.error()));
        co_return admin::ok_line(args("worker", s->worker, "stack", *text));
    }
    if (const auto* r = std::get_if<admin::recycle>(&*asked)) {
        const auto begin = [&](completion<result<void>> done) { pool->begin_recycle(r->worker, std::move(done)); };
        const auto done = co_await outcome_of<void>(self, begin);
        co_return line_of(done);
    }
    if (const auto* r = std::get_if<admin::resize>(&*asked)) {
        const auto begin = [&](completion<result<void>> done) { pool->begin_resize(r->group, r->to, std::move(done)); };
        const auto done = co_await outcome_of<void>(self, begin);
        co_return line_of(done);
    }
    const auto& e = std::get<admin::events>(*asked);
    if (e.follow) {  // also of a worker that there is not yet, or no more
        self->to_follow_ = e;
        co_return std::string();
    }
    for (const auto& name : e.only)
        if (!recent_events::keeps(name)) {
            const error why(errc::bad_arguments, fmt::format("\"{}\" is not kept: follow the events to see it", name));
            co_return line_of(tl::unexpected(why));
        }
    const auto kept = self->facts_->recent.matching(e.filter);
    // Those of a worker that has left are told as long as they are kept.
    if (kept.empty() && !e.worker.empty() && self->facts_->recent.matching(event_filter().worker(e.worker)).empty()) {
        const auto known = pool->check_worker(e.worker);
        if (!known) co_return line_of(known);
    }
    co_return admin::ok_line(args("events", admin::list_of(kept)));
}

asio::awaitable<void> admin_connection::follow(std::shared_ptr<admin_connection> self, event_filter wanted) {
    event_reader reader = event_source(self->facts_->events).read(std::move(wanted), event_capacity);
    std::string text = admin::ok_line();
    std::uint64_t told = 0;
    asio::steady_timer pause(self->on_);
    for (int count = 1; !self->gone_; ++count) {
        asio::error_code failed;
        co_await asio::async_write(self->peer_, asio::buffer(text), asio::redirect_error(asio::use_awaitable, failed));
        if (failed) co_return;
        if (count % burst == 0) {
            pause.expires_after(pause_after_burst);
            co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, failed));
        }
        const std::optional<event> next = co_await reader.next();
        if (!next) co_return;
        text = admin::line_of(to_value(*next));
        if (const auto dropped = reader.dropped(); dropped > told) {
            text += admin::line_of(args("dropped", dropped - told));
            told = dropped;
        }
    }
}

}  // namespace snakepit::detail
