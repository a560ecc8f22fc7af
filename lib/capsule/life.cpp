#include "capsule/life.hpp"

#include "capsule/obituary.hpp"
#include "pool/profile.hpp"
#include "process/process_facts.hpp"
#include "process/start_failure.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <csignal>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;

constexpr auto hello_limit = 5s;     // from accept to hello
constexpr auto suspicion = 100ms;    // a stream ended: is the process about to? mostly 1 ms
constexpr auto kill_limit = 2s;      // from SIGKILL to the end of the process
constexpr auto tail_limit = 250ms;   // from the end of the process to that of its streams; mostly 1 ms
constexpr auto running_look = 10ms;  // from one look at what a worker still runs to the next
constexpr int exit_lost = 75;        // py/snakepit/_protocol.py: the worker's connection or a stream ended

template <class T, class Event>
auto* as(Event& e) {
    if constexpr (std::is_constructible_v<attachment_event, T>) {
        auto* wire = std::get_if<attachment_event>(&e);
        return wire ? std::get_if<T>(wire) : nullptr;
    } else {
        return std::get_if<T>(&e);
    }
}

/// What an operator asked for, and came too late for him, is no part of it.
std::string stack_of_crash(const worker_exit& how) {
    constexpr int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    if (std::ranges::find(crashes, how.signal) == std::end(crashes)) return {};
    const auto begin = how.python_stack.rfind("Fatal Python error");
    return begin == std::string::npos ? how.python_stack : how.python_stack.substr(begin);
}

/// Of an end that nobody here has brought about.
restart_reason reason_of(const worker_exit& how) {
    if (!how.out_of_memory.empty()) return restart_reason::out_of_memory;
    return how.signal > 0 ? restart_reason::signal : restart_reason::exit;
}

}  // namespace

void life::departure::hear(const life_event& e) {
    if (as<heard::exited>(e)) {
        exited = true;
        exited_at = clock::now();
    }
    if (as<heard::work_ended>(e)) work_ended = true;
    if (as<heard::control_ended>(e)) control_ended = true;
    if (const auto* r = as<heard::report>(e)) report = r->what;
    if (const auto* s = as<heard::status>(e)) {
        told = true;
        wait_status = s->wait_status;
    }
}

life::life(asio::strand<asio::any_io_executor> on, std::shared_ptr<const pool_services> pool, std::string worker,
           std::uint64_t number, std::function<void(const news&)> tell)
    : on_(std::move(on)),
      pool_(std::move(pool)),
      worker_(std::move(worker)),
      number_(number),
      tell_(std::move(tell)),
      mail_(std::make_shared<life_mailbox>(on_)),
      body_(std::make_shared<incarnation>(on_, pool_, mail_)),
      grace_(on_) {}

asio::awaitable<void> life::run(std::shared_ptr<life> self) {
    std::optional<error> why;
    try {
        why = co_await live(self);
    } catch (const std::exception& e) {  // out of memory or descriptors: this worker's trouble alone
        why = error(errc::launch_failed, e.what()).with_worker(self->worker_);
        self->abandon(*why);
    }
    self->over_ = true;
    self->grace_.cancel();
    while (!self->wants_stacks_.empty())
        self->note_stacks(self->wants_stacks_.begin()->first,
                          tl::unexpected(error(errc::worker_lost, "the worker has ended").with_worker(self->worker_)));
    if (self->heartbeat_) self->heartbeat_->stop();
    if (self->lifecycle_) self->lifecycle_->stop();
    if (self->slow_watch_) self->slow_watch_->stop();
    self->tell_({self, happening::gone, std::move(why)});
}

asio::awaitable<error> life::live(std::shared_ptr<life> self) {
    departure gone;
    auto started = co_await incarnation::start(self->body_, self->worker_, self->number_);
    if (started) {
        {
            const std::lock_guard lock(self->mutex_);
            self->pid_ = self->body_->pid();
            self->memory_kills_.look(self->pid_);
            if (self->ended_) self->body_->kill(SIGKILL);  // end_now came while there was no process yet
        }
        started = co_await boot(self, gone);
    }
    const auto fresh_bytes = started ? resident_bytes_of(self->body_->pid()) : 0;
    if (started) started = self->fits(fresh_bytes);
    error why(errc::worker_lost, "");
    if (started)
        why =
            co_await serve(self, gone, fresh_bytes);  // not in a conditional expression: g++ 12 destroys it twice there
    else why = started.error().with_worker(self->worker_);
    co_await bury(self, gone);
    if (self->exit_.empty()) self->exit_ = why.message();
    co_return why;
}

/// A limit that a worker exceeds which has done nothing yet would have it replaced for ever.
result<void> life::fits(std::uint64_t fresh_bytes) const {
    const auto limit = pool_->options.lifecycle.max_memory_bytes;
    if (limit == 0 || fresh_bytes <= limit) return {};
    return tl::unexpected(
        error(errc::invalid_options,
              fmt::format("lifecycle.max_memory_bytes is {}, but a worker that has just started has {}", limit,
                          fresh_bytes)));
}

/// Until it ends, or is told to.
asio::awaitable<error> life::serve(std::shared_ptr<life> self, departure& gone, std::uint64_t fresh_bytes) {
    self->watch_pulse();
    self->watch_limits(fresh_bytes);
    self->watch_slow_calls();
    self->tell_({self, happening::up});
    std::string reason;
    auto ours = restart_reason::connection;  // where there is a reason
    bool breach = false;                     // of the protocol: nothing that it has left is believed
    bool cut_short = false;                  // by us: how it ends is our doing
    while (reason.empty() && !gone.exited && !self->ending_) {
        auto e = co_await life_mailbox::next(self->mail_, clock::time_point::max());
        self->hear(gone, *e);
        if (as<heard::served>(*e)) {
            if (self->retiring_) self->leave_if_idle();  // or it was the other limit, on its way already
            else self->lifecycle_->served();
        } else if (as<heard::told_to_retire>(*e)) {
            self->retiring_ = true;
            if (const auto l = self->carried()) self->pool_->board->retire(*l);
            self->leave_if_idle();
        } else if (const auto* p = as<heard::pong>(*e)) {
            self->memory_kills_.look(self->body_->pid());
            self->body_->tell_of_dropped_output();
            self->note_progress(*p);
            self->heartbeat_->pong(*p);
            const auto latency = self->heartbeat_->last_latency();
            self->lifecycle_->pong(p->resident_bytes, latency);
            self->pool_->events->publish(
                [&] { return happened::heartbeat_answered{self->worker_, self->number_, latency, p->resident_bytes}; });
        } else if (as<heard::asked_to_stop>(*e)) {
            if (!std::exchange(self->grace_is_watched_, true))
                asio::co_spawn(self->on_, watch_grace(self), [](std::exception_ptr) {});
        } else if (const auto* b = as<heard::broken>(*e)) {
            reason = b->why;
            cut_short = breach = b->breach;
            if (breach) ours = restart_reason::protocol;
        } else if (const auto* g = as<heard::given_up>(*e)) {
            reason = g->why;
            ours = g->reason;
            cut_short = true;
            if (g->others_may_finish) co_await let_others_finish(self, gone);
            self->dump_last_stack();
            co_await wait_gone(self, dump_time, gone);
        }
    }
    if (self->ending_ && reason.empty() && !gone.exited) {
        self->as_told_ = true;
        if (!co_await stop_ladder(self, gone)) reason = self->ending_->message();
    } else {
        // Unroutable in the turn in which its death is known; its calls wait for the explanation, not for long.
        if (const auto l = self->carried()) self->pool_->board->dismiss(*l);
        self->tell_({self, happening::lost});
        // What is told is the cause, not its effect: streams end with their worker, and a worker goes by itself when it
        // has lost one.
        const auto effect = std::exchange(reason, {});
        const bool by_itself = !cut_short && co_await wait_gone(self, suspicion, gone);
        if (!gone.exited) self->body_->kill(SIGKILL);
        co_await wait_gone(self, kill_limit, gone);
        const bool lost_us = exit_of(gone.wait_status).code == exit_lost;
        if (!by_itself || lost_us) reason = effect.empty() && lost_us ? "a stream to it ended" : effect;
    }
    auto how = self->exit_so_far(gone);
    const auto l = self->carried();
    last_words said;
    if (l && gone.exited && !breach) {
        co_await wait_until_all_came(self, gone);
        said = read_last_words(self->body_->left(), *self->pool_->board, *l, self->runs_several(), gone.exited_at, how);
    }
    self->reason_ = reason.empty() ? reason_of(how) : ours;
    auto why = explain_end(self->worker_, self->body_->pid(), reason, std::move(how));
    if (l) self->pool_->board->disconnect(*l, why, std::move(said));
    self->ended_because_ = std::move(reason);
    co_return why;
}

void life::watch_pulse() {
    auto made =
        std::make_shared<heartbeat>(on_, pool_->options.heartbeat,
                                    heartbeat::subject{body_->pid(),
                                                       [weak = weak_from_this()](std::uint64_t sequence) {
                                                           if (const auto self = weak.lock(); self && !self->over_)
                                                               self->body_->connection().ping(sequence);
                                                       },
                                                       [weak = weak_from_this()] {
                                                           const auto self = weak.lock();
                                                           return self && self->occupied_by().in_live_call;
                                                       },
                                                       [weak = weak_from_this()] {
                                                           const auto self = weak.lock();
                                                           return self ? self->load() : 0;
                                                       }},
                                    [weak = weak_from_this()](happening what) {
                                        if (const auto self = weak.lock(); self && !self->over_)
                                            self->tell_({self, what});
                                    });
    {
        const std::lock_guard lock(mutex_);
        heartbeat_ = made;
    }
    asio::co_spawn(on_, heartbeat::run(std::move(made)), [](std::exception_ptr) {});
}

void life::watch_limits(std::uint64_t fresh_bytes) {
    lifecycle_ = std::make_shared<lifecycle>(on_, pool_->options.lifecycle, fresh_bytes,
                                             [weak = weak_from_this()](recycle_reason why) {
                                                 if (const auto self = weak.lock(); self && !self->over_)
                                                     self->tell_({self, happening::worn, std::nullopt, why});
                                             });
    asio::co_spawn(on_, lifecycle::run(lifecycle_), [](std::exception_ptr) {});
}

/// Python was asked to stop a call: if it goes on for too long, the worker is not worth keeping.
asio::awaitable<void> life::watch_grace(std::shared_ptr<life> self) {
    const auto grace = self->pool_->options.cancel_grace;
    for (;;) {
        const auto at = self->over_ ? occupation() : self->occupied_by();
        if (!at.has_unwanted) break;
        const auto until = at.asked_at.value_or(clock::now()) + grace;
        if (at.asked_at && until <= clock::now()) {
            self->give_up_on(restart_reason::cancel_grace,
                             fmt::format("a call that was cancelled or whose time was over had not ended after {} ms "
                                         "(cancel_grace)",
                                         grace.count()),
                             self->runs_several());
            break;
        }
        self->grace_.expires_at(until);
        asio::error_code woken;
        co_await self->grace_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
    self->grace_is_watched_ = false;
}

/// Where it was when it was given up.
void life::dump_last_stack() {
    (void)body_->left().take_stack();  // of before
    wants_last_stack_ = true;
    body_->ask_for_dump();
}

/// A call that does not end costs the worker, but not at once the calls beside it: those that run may end, and what has
/// not begun goes elsewhere when the worker has ended.
asio::awaitable<void> life::let_others_finish(std::shared_ptr<life> self, departure& gone) {
    const auto l = self->carried();
    if (!l) co_return;
    const auto& options = self->pool_->options;
    auto& board = *self->pool_->board;
    board.dismiss(*l);
    self->body_->connection().drain(0);  // no more is begun
    const auto until = clock::now() + std::min(options.cancel_grace, options.drain_timeout);
    while (!gone.exited && clock::now() < until && board.wants_any(*l, self->body_->left().read_running())) {
        auto e = co_await life_mailbox::next(self->mail_, std::min(until, clock::now() + running_look));
        if (e) self->hear(gone, *e);
    }
}

/// From the process to the first call that it may be given.
asio::awaitable<result<void>> life::boot(std::shared_ptr<life> self, departure& gone) {
    const auto& options = self->pool_->options;
    auto deadline = clock::now() + options.start_timeout;
    std::optional<worker_hello> hello;
    auto missing = import_within(options.start_timeout, options.module);
    for (;;) {
        auto e = co_await life_mailbox::next(self->mail_, deadline);
        if (!e) {
            self->dump_last_stack();
            co_await wait_gone(self, dump_time, gone);
            co_return tl::unexpected(start_timeout(missing, self->exit_so_far(gone)));
        }
        if (as<heard::connected>(*e) && clock::now() + hello_limit < deadline) {
            deadline = clock::now() + hello_limit;
            missing = fmt::format("it did not say hello and open its Work stream within {} s of its connection",
                                  hello_limit.count());
        }
        if (const auto* h = as<heard::hello>(*e)) {
            if (!h->what) {
                self->body_->connection().refuse(h->what.error());
                co_await wait_gone(self, options.stop_grace, gone);
                co_return tl::unexpected(h->what.error());
            }
            hello = *h->what;
            self->told_level_ = *self->pool_->python_level;
            self->body_->connection().welcome(hello->protocol_minor, self->told_level_);
        }
        if (as<heard::work_open>(*e) && hello) {
            self->tools_ = std::move(hello->tools);
            self->lane_ = std::move(hello->lane);
            co_return result<void>();
        }
        if (self->ending_) {
            self->as_told_ = true;
            co_return tl::unexpected(*self->ending_);
        }
        self->hear(gone, *e);
        const auto* broken = as<heard::broken>(*e);
        if (gone.report || gone.exited || broken) {
            co_await wait_gone(self, broken ? options.stop_grace : status_limit, gone);
            if (!gone.report) gone.report = self->body_->last_report();
            co_return tl::unexpected(
                self->boot_failure(gone, broken ? std::optional<heard::broken>(*broken) : std::nullopt));
        }
    }
}

/// Drain, then ask, then SIGTERM, then SIGKILL. A worker that is only replaced is not asked: it would answer for the
/// calls that it has not begun, and others are there to run them.
/// @return  whether it needed no more than to be asked
asio::awaitable<bool> life::stop_ladder(std::shared_ptr<life> self, departure& gone) {
    const auto& options = self->pool_->options;
    auto& board = *self->pool_->board;
    auto& connection = self->body_->connection();
    const auto l = self->carried();
    const auto last = l ? board.dismiss(*l) : 0;
    const bool idle = self->load() == 0;
    if (options.drain_timeout > 0ms || idle) {
        self->draining_ = !idle;
        connection.drain(last);
        if (co_await wait_gone(self, idle ? options.stop_grace : options.drain_timeout, gone)) co_return true;
        // It has finished at the last moment: its end is near.
        if (!idle && self->load() == 0 && co_await wait_gone(self, options.stop_grace, gone)) co_return true;
    }
    self->draining_ = false;
    if (*self->ending_ == errc::pool_stopped) {
        if (l) board.disconnect(*l, *self->ending_);
        connection.stop(last);
        if (co_await wait_gone(self, options.stop_grace, gone)) co_return true;
    }
    self->body_->kill(SIGTERM);
    if (co_await wait_gone(self, options.stop_grace, gone)) co_return false;
    self->body_->kill(SIGKILL);
    co_await wait_gone(self, kill_limit, gone);
    co_return false;
}

/// Whatever is left of it goes.
asio::awaitable<void> life::bury(std::shared_ptr<life> self, departure& gone) {
    if (self->body_->pid() != 0) {
        if (!gone.exited) {
            self->body_->kill(SIGKILL);
            co_await wait_gone(self, kill_limit, gone);
        }
        self->exit_ = self->exit_so_far(gone).describe();
        if (!self->ended_because_.empty()) self->exit_ += ": " + self->ended_because_;
    }
    self->body_->close("the worker has ended");
    self->let_go();
}

/// Something was thrown in the middle: whatever there is of it ends.
void life::abandon(const error& why) {
    exit_ = why.message();
    body_->kill(SIGKILL);
    if (const auto l = carried())
        pool_->board->disconnect(*l, error(errc::worker_lost, why.message()).with_worker(worker_));
    body_->close("its capsule failed");
    let_go();
}

void life::let_go() {
    const auto calls = ended_calls();
    const std::lock_guard lock(mutex_);
    ended_calls_ = calls;
    line_ = nullptr;
    pid_ = 0;
}

/// What may come at any time, and tells of what it did before.
void life::hear(departure& gone, life_event& e) {
    gone.hear(e);
    if (const auto* blocked = as<heard::loop_blocked>(e)) note_blocked(*blocked);
    else if (auto* t = as<heard::telemetry>(e)) note_telemetry(*t);
    else if (auto* slow = as<heard::slow_call>(e)) note_slow(*slow);
    else if (auto* s = as<heard::stacks>(e)) note_stacks(s->number, std::move(s->text));
}

void life::note_progress(const heard::pong& p) {
    const auto now = clock::now();
    const std::lock_guard lock(mutex_);
    begun_id_ = p.running_for.count() > 0 ? p.begun_id : 0;
    begun_at_ = std::max(born_, now - p.running_for);
}

void life::kill() { body_->kill(SIGKILL); }

/// It retires, and has nothing left to do: an ordinary end, for which nobody waits long.
void life::leave_if_idle() {
    if (load() == 0) ending_ = error(errc::worker_lost, "the worker had retired");
}

/// Until the process has ended and the launcher has said how, at most `limit` each.
/// @return  whether it has ended
asio::awaitable<bool> life::wait_gone(std::shared_ptr<life> self, clock::duration limit, departure& gone) {
    auto until = clock::now() + limit;
    while (!gone.exited || !gone.told) {
        auto e = co_await life_mailbox::next(self->mail_, until);
        if (!e) break;
        self->hear(gone, *e);
        if (as<heard::exited>(*e)) until = clock::now() + status_limit;
        if (as<heard::hurry>(*e) && std::exchange(self->draining_, false)) until = clock::now();
    }
    co_return gone.exited;
}

/// What it had sent is still on its way when its end is known.
asio::awaitable<void> life::wait_until_all_came(std::shared_ptr<life> self, departure& gone) {
    const auto until = clock::now() + tail_limit;
    while (!gone.work_ended || !gone.control_ended) {
        auto e = co_await life_mailbox::next(self->mail_, until);
        if (!e) break;
        self->hear(gone, *e);
    }
}

worker_exit life::exit_so_far(const departure& gone) const {
    auto how = exit_of(gone.wait_status, body_->output(), body_->pid() != 0 ? body_->left().python_stack() : "");
    if (!wants_last_stack_) how.python_stack = stack_of_crash(how);
    how.uptime = std::chrono::duration_cast<std::chrono::milliseconds>(age());
    how.resident_bytes = pulse().resident_bytes;
    if (how.signal == SIGKILL) how.out_of_memory = memory_kills_.since_look();
    return how;
}

error life::boot_failure(const departure& gone, const std::optional<heard::broken>& broken) const {
    auto how = exit_so_far(gone);
    if (broken && (broken->breach || (!gone.report && !gone.exited)))
        return error(broken->breach ? errc::protocol_violation : errc::launch_failed,
                     "the worker could not attach: " + broken->why)
            .with_exit(std::move(how));
    return start_failure(pool_->options.module, gone.report, std::move(how));
}

void life::publish() {
    if (const auto l = carried()) return pool_->board->resume(*l);
    auto l = pool_->board->connect(worker_, tools_, body_->connection_ptr(), lifecycle_->max_calls(),
                                   width_of(pool_->options));
    bool ended = false;
    {
        const std::lock_guard lock(mutex_);
        line_ = l;
        ended = ended_;
    }
    // end_now came before there was a line
    if (ended) pool_->board->disconnect(*l, error(errc::pool_stopped, "the pool was destroyed"));
    else body_->connection().carry(std::move(l));
    tell_log_level();  // it may have changed since the worker was welcomed
}

void life::withhold() {
    if (const auto l = carried()) pool_->board->suspend(*l);
}

void life::end(const error& why) {
    if (ending_) return;
    ending_ = why;
    mail_->push(heard::told_to_end{});
}

void life::retire() { mail_->push(heard::told_to_retire{}); }

void life::hasten() { mail_->push(heard::hurry{}); }

void life::give_up_on(restart_reason reason, std::string why, bool others_may_finish) {
    mail_->push(heard::given_up{reason, std::move(why), others_may_finish});
}

bool life::runs_several() const { return width_of(pool_->options) > 1; }

void life::end_now(const error& why) noexcept {
    std::unique_lock lock(mutex_);
    ended_ = true;
    const auto held = line_;
    lock.unlock();
    body_->kill(SIGKILL);
    if (held) pool_->board->disconnect(*held, why);
}

int life::pid() const {
    const std::lock_guard lock(mutex_);
    return pid_;
}

std::shared_ptr<line> life::carried() const {
    const std::lock_guard lock(mutex_);
    return line_;
}

occupation life::occupied_by() const {
    const auto l = carried();
    return l ? pool_->board->occupation_of(*l, body_->left().begun()) : occupation();
}

heartbeat_stats life::pulse() const {
    std::unique_lock lock(mutex_);
    const auto beats = heartbeat_;
    lock.unlock();
    return beats ? beats->stats() : heartbeat_stats();
}

std::uint64_t life::ended_calls() const {
    std::unique_lock lock(mutex_);
    const auto l = line_;
    const auto before = ended_calls_;
    lock.unlock();
    return l ? pool_->board->ended(*l) : before;
}

std::vector<slow_watch::at_work> life::runs() const {
    std::vector<slow_watch::at_work> found;
    const auto l = over_ ? nullptr : carried();
    if (!l) return found;
    for (const auto& each : body_->left().read_at_work(runs_several()))
        if (auto tool = pool_->board->tool_of(*l, each.id); !tool.empty())
            found.push_back({each.id, std::move(tool), each.since});
    return found;
}

life::activity life::doing() const {
    std::unique_lock lock(mutex_);
    const auto known = begun_id_;
    const auto since = begun_at_;
    lock.unlock();
    auto at = occupied_by();
    // One that runs several tells how long the one has run that it began first.
    const bool is_known = at.id != 0 && ((at.id <= known && known <= at.last_id) || (runs_several() && at.id < known));
    return {std::move(at.tool), is_known ? clock::now() - since : clock::duration()};
}

std::size_t life::load() const {
    const auto l = carried();
    return l ? pool_->board->load(*l) : 0;
}

pace life::pace_of_calls() const {
    const auto l = carried();
    return l ? pool_->board->pace_of(*l) : pace();
}

}  // namespace snakepit::detail
