#include "capsule/capsule.hpp"

#include "process/start_failure.hpp"

#include <fmt/format.h>
#include <asio/post.hpp>
#include <csignal>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;

constexpr auto hello_limit = 5s;   // from accept to hello
constexpr auto suspicion = 100ms;  // a stream ended: is the process about to? mostly 1 ms
constexpr auto kill_limit = 2s;    // from SIGKILL to the end of the process
constexpr int exit_lost = 75;      // py/snakepit/_protocol.py: the worker's connection or a stream ended

template <class T>
const T* as(const capsule_event& e) {
    if constexpr (std::is_constructible_v<attachment_event, T>) {
        const auto* wire = std::get_if<attachment_event>(&e);
        return wire ? std::get_if<T>(wire) : nullptr;
    } else {
        return std::get_if<T>(&e);
    }
}

}  // namespace

capsule::capsule(std::string id, std::shared_ptr<const pool_services> pool,
                 std::function<void(result<void>)> first_start)
    : id_(std::move(id)),
      on_(pool->on),
      pool_(std::move(pool)),
      mail_(std::make_shared<capsule_mailbox>(on_)),
      first_start_(std::move(first_start)),
      backoff_(pool_->options.restart_backoff.first, pool_->options.restart_backoff.longest) {
    stats_.id = id_;
}

void capsule::enter(worker_state s) {
    const std::lock_guard lock(mutex_);
    stats_.state = s;
}

asio::awaitable<void> capsule::run(std::shared_ptr<capsule> self) {
    for (;;) {
        ending end;
        bool broke_down = false;
        try {
            end = co_await live(self);
        } catch (const std::exception& e) {  // out of memory or descriptors: this worker's trouble alone
            end.why = error(errc::launch_failed, e.what()).with_worker(self->id_);
            broke_down = true;
        }
        if (broke_down) {
            self->abandon(end.why);
            co_await forget_mail(self);
            end.stopping = self->stopping_;
        }
        const bool first_failed = self->first_start_ != nullptr;
        if (auto tell = std::exchange(self->first_start_, nullptr)) tell(tl::unexpected(end.why));
        if (end.stopping || first_failed) break;
        self->enter(worker_state::restarting);
        const auto again = clock::now() + self->backoff_.after(end.up);
        while (!self->stopping_) {
            const auto e = co_await capsule_mailbox::next(self->mail_, again);
            if (!e) break;
            if (as<heard::stop>(*e)) self->stopping_ = true;
        }
        if (self->stopping_) break;
        const std::lock_guard lock(self->mutex_);
        ++self->stats_.restarts;
    }
    self->enter(worker_state::dead);
}

/// One incarnation from its start to its end.
asio::awaitable<capsule::ending> capsule::live(std::shared_ptr<capsule> self) {
    ending end;
    departure gone;
    auto now = std::make_shared<incarnation>(self->on_, self->pool_, self->mail_);
    std::uint64_t number = 0;
    {
        const std::lock_guard lock(self->mutex_);
        if (self->ended_) {
            end.stopping = true;
            co_return end;
        }
        number = ++self->stats_.incarnation;
        self->stats_.state = worker_state::booting;
        self->now_ = now;
    }
    const auto born = clock::now();
    auto started = co_await incarnation::start(now, self->id_, number);
    if (started) {
        {
            const std::lock_guard lock(self->mutex_);
            self->stats_.pid = now->pid();
            if (self->ended_) now->kill(SIGKILL);  // end_now came while there was no process yet
        }
        started = co_await boot(self, now, gone);
    }
    if (!started) {
        end.why = started.error().with_worker(self->id_);
        end.stopping = self->stopping_;
        co_await bury(self, now, gone);
        if (now->pid() == 0) {
            const std::lock_guard lock(self->mutex_);
            self->stats_.last_exit = end.why.message();
        }
        co_return end;
    }
    if (auto tell = std::exchange(self->first_start_, nullptr)) tell({});

    std::string reason;
    bool breach = false;
    while (reason.empty() && !gone.exited && !self->stopping_) {
        const auto e = co_await capsule_mailbox::next(self->mail_, clock::time_point::max());
        if (as<heard::exited>(*e)) gone.exited = true;
        else if (const auto* s = as<heard::status>(*e)) gone.hear(*s);
        else if (const auto* b = as<heard::broken>(*e)) {
            reason = b->why;
            breach = b->breach;
        } else if (as<heard::stop>(*e)) self->stopping_ = true;
    }
    if (self->stopping_) {
        co_await stop_ladder(self, now, gone);
    } else {
        // Unroutable in the turn in which its death is known; its calls wait for the explanation, not for long.
        self->pool_->board->suspend(*self->line_);
        // What is told is the cause, not its effect: streams end with their worker, and a worker goes by itself when it
        // has lost one.
        const auto effect = std::exchange(reason, {});
        const bool by_itself = !breach && co_await wait_gone(self, suspicion, gone);
        if (!gone.exited) now->kill(SIGKILL);
        co_await wait_gone(self, status_limit, gone);
        const bool lost_us = exit_of(gone.wait_status, {}).code == exit_lost;
        if (!by_itself || lost_us) reason = effect.empty() && lost_us ? "a stream to it ended" : effect;
    }
    end.why = self->explain(*now, gone, std::move(reason));
    end.stopping = self->stopping_;
    end.up = clock::now() - born;
    self->pool_->board->disconnect(*self->line_, end.why);
    co_await bury(self, now, gone);
    co_return end;
}

/// From the process to the first call that it may be given.
asio::awaitable<result<void>> capsule::boot(std::shared_ptr<capsule> self, std::shared_ptr<incarnation> now,
                                            departure& gone) {
    const auto& options = self->pool_->options;
    auto deadline = clock::now() + options.start_timeout;
    std::optional<worker_hello> hello;
    auto missing = import_within(options.start_timeout, options.module);
    for (;;) {
        const auto e = co_await capsule_mailbox::next(self->mail_, deadline);
        if (!e) {
            now->kill(dump_signal());
            co_await wait_gone(self, dump_time, gone);
            co_return tl::unexpected(start_timeout(missing, exit_of(gone.wait_status, now->output())));
        }
        if (as<heard::connected>(*e) && clock::now() + hello_limit < deadline) {
            deadline = clock::now() + hello_limit;
            missing = fmt::format("it did not say hello and open its Work stream within {} s of its connection",
                                  hello_limit.count());
        }
        if (const auto* h = as<heard::hello>(*e)) {
            if (!h->what) {
                now->connection().refuse(h->what.error());
                co_await wait_gone(self, options.stop_grace, gone);
                co_return tl::unexpected(h->what.error());
            }
            hello = *h->what;
            now->connection().welcome(hello->protocol_minor);
        }
        if (as<heard::work_open>(*e) && hello) {
            auto line = self->pool_->board->connect(self->id_, hello->tools, now->connection_ptr());
            bool ended = false;
            {
                const std::lock_guard lock(self->mutex_);
                self->line_ = line;
                self->stats_.state = worker_state::ready;
                self->stats_.lane = hello->lane;
                ended = self->ended_;
            }
            const error stopped(errc::pool_stopped, "the pool was destroyed");
            if (ended) self->pool_->board->disconnect(*line, stopped);  // end_now came before there was a line
            else now->connection().carry(std::move(line));
            co_return result<void>();
        }
        if (as<heard::stop>(*e)) {
            self->stopping_ = true;
            co_return tl::unexpected(error(errc::pool_stopped, "the pool was stopped while the worker started"));
        }
        if (const auto* s = as<heard::status>(*e)) gone.hear(*s);
        if (const auto* r = as<heard::report>(*e)) gone.report = r->what;
        if (as<heard::exited>(*e)) gone.exited = true;
        const auto* broken = as<heard::broken>(*e);
        if (gone.report || gone.exited || broken) {
            co_await wait_gone(self, broken ? options.stop_grace : status_limit, gone);
            if (!gone.report) gone.report = now->last_report();
            co_return tl::unexpected(
                self->boot_failure(*now, gone, broken ? std::optional<heard::broken>(*broken) : std::nullopt));
        }
    }
}

/// Drain, then ask, then SIGTERM; bury() is the last rung.
asio::awaitable<void> capsule::stop_ladder(std::shared_ptr<capsule> self, std::shared_ptr<incarnation> now,
                                           departure& gone) {
    const auto& options = self->pool_->options;
    auto& board = *self->pool_->board;
    self->enter(worker_state::stopping);
    const auto last = board.suspend(*self->line_);
    const bool idle = board.load(*self->line_) == 0;
    if (options.drain_timeout > 0ms || idle) {
        now->connection().drain(last);
        if (co_await wait_gone(self, idle ? options.stop_grace : options.drain_timeout, gone)) co_return;
        // It has finished at the last moment: its end is near.
        if (!idle && board.load(*self->line_) == 0 && co_await wait_gone(self, options.stop_grace, gone)) co_return;
    }
    board.disconnect(*self->line_,
                     error(errc::pool_stopped, "the call had not finished when the pool's drain_timeout was over"));
    now->connection().stop(last);
    if (co_await wait_gone(self, options.stop_grace, gone)) co_return;
    now->kill(SIGTERM);
    co_await wait_gone(self, options.stop_grace, gone);
}

/// Whatever is left of it goes.
asio::awaitable<void> capsule::bury(std::shared_ptr<capsule> self, std::shared_ptr<incarnation> now, departure& gone) {
    if (now->pid() != 0 && !gone.exited) {
        now->kill(SIGKILL);
        co_await wait_gone(self, kill_limit, gone);
    }
    auto how = exit_of(gone.wait_status, {}).describe();
    now->close("the worker has ended");
    co_await forget_mail(self);
    const std::lock_guard lock(self->mutex_);
    self->line_ = nullptr;
    self->now_ = nullptr;
    self->stats_.pid = 0;
    self->stats_.last_exit = std::move(how);
}

/// What is left of a worker's mail: the next one is not to hear it.
asio::awaitable<void> capsule::forget_mail(std::shared_ptr<capsule> self) {
    while (const auto e = co_await capsule_mailbox::next(self->mail_, clock::now()))
        if (as<heard::stop>(*e)) self->stopping_ = true;
}

/// Something was thrown in the middle of a life: whatever there is of it ends.
void capsule::abandon(const error& why) {
    std::unique_lock lock(mutex_);
    const auto now = std::exchange(now_, nullptr);
    const auto held = std::exchange(line_, nullptr);
    stats_.pid = 0;
    stats_.last_exit = why.message();
    lock.unlock();
    if (now) now->kill(SIGKILL);
    if (held) pool_->board->disconnect(*held, error(errc::worker_lost, why.message()).with_worker(id_));
    if (now) now->close("its capsule failed");
}

/// Until the process has ended and the launcher has said how, at most `limit` each.
/// @return  whether it has ended
asio::awaitable<bool> capsule::wait_gone(std::shared_ptr<capsule> self, clock::duration limit, departure& gone) {
    auto until = clock::now() + limit;
    while (!gone.exited || !gone.told) {
        const auto e = co_await capsule_mailbox::next(self->mail_, until);
        if (!e) break;
        if (as<heard::exited>(*e)) {
            gone.exited = true;
            until = clock::now() + status_limit;
        }
        if (const auto* s = as<heard::status>(*e)) gone.hear(*s);
        if (const auto* r = as<heard::report>(*e)) gone.report = r->what;
        if (as<heard::stop>(*e)) self->stopping_ = true;
    }
    co_return gone.exited;
}

error capsule::explain(incarnation& now, const departure& gone, std::string reason) const {
    auto how = exit_of(gone.wait_status, now.output());
    auto what = reason.empty() ? fmt::format("the worker (pid {}) ended: {}", now.pid(), how.describe())
                               : fmt::format("the worker (pid {}) was ended: {}", now.pid(), reason);
    return error(errc::worker_lost, std::move(what)).with_worker(id_).with_exit(std::move(how));
}

error capsule::boot_failure(incarnation& now, const departure& gone, const std::optional<heard::broken>& broken) const {
    auto how = exit_of(gone.wait_status, now.output());
    if (broken && (broken->breach || (!gone.report && !gone.exited)))
        return error(broken->breach ? errc::protocol_violation : errc::launch_failed,
                     "the worker could not attach: " + broken->why)
            .with_exit(std::move(how));
    return start_failure(pool_->options.module, gone.report, std::move(how));
}

void capsule::request_stop() {
    asio::post(on_, [self = shared_from_this()] { self->mail_->push(heard::stop{}); });
}

void capsule::end_now(const error& why) noexcept {
    std::unique_lock lock(mutex_);
    ended_ = true;
    const auto now = now_;
    const auto held = line_;
    lock.unlock();
    if (now) now->kill(SIGKILL);
    if (held) pool_->board->disconnect(*held, why);
    request_stop();
}

worker_stats capsule::stats() const {
    const std::lock_guard lock(mutex_);
    auto s = stats_;
    if (line_) s.outstanding = pool_->board->load(*line_);
    if (s.state == worker_state::ready && s.outstanding > 0) s.state = worker_state::executing;
    return s;
}

}  // namespace snakepit::detail
