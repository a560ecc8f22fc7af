#include "pool/pool_impl.hpp"

#include "host/call_scope.hpp"
#include "pool/desk.hpp"
#include "pool/limits.hpp"
#include "pool/nearest_names.hpp"
#include "pool/profile.hpp"
#include "pool/refusals.hpp"
#include "process/fork_shield.hpp"
#include "value/codec.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <tuple>

namespace snakepit::detail {
namespace {

/// Threads of numerical libraries times workers: without a share for each they trample on each other.
std::map<std::string, std::string> worker_environment(const pool_options& options) {
    auto env = options.environment;
    const auto share =
        std::to_string(std::max<std::size_t>(1, std::thread::hardware_concurrency() / most_of(options.workers)));
    for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"})
        if (!std::getenv(name)) env.emplace(name, share);
    return env;
}

std::vector<std::string> absolute_paths(const pool_options& options) {
    std::vector<std::string> paths;
    std::error_code failed;
    const auto here = std::filesystem::current_path(failed).string();  // may have been deleted
    if (options.python_path.empty() && !failed) paths.push_back(here);
    for (const auto& p : options.python_path) {
        const auto absolute = std::filesystem::absolute(p, failed);
        paths.push_back(failed ? p : absolute.lexically_normal().string());
    }
    return paths;
}

call::clock::time_point deadline_after(call::clock::duration timeout) {
    const auto now = call::clock::now();
    const bool for_ever = timeout == call_options::no_timeout || timeout > call::clock::time_point::max() - now;
    return for_ever ? call::clock::time_point::max() : now + timeout;
}

/// @return  whether it has been answered
bool refuse_in_child(completion<result<void>>& done) {
    if (!fork_shield::in_child()) return false;
    completion<result<void>>::post(std::move(done), tl::unexpected(forked_error()));
    return true;
}

/// Reachable, so no leak to be found.
std::vector<std::shared_ptr<pool_impl>>& kept_for_ever() {
    static auto& kept = *new std::vector<std::shared_ptr<pool_impl>>;
    return kept;
}

/// A worker holds what it can run at once. Options that are mistaken stay as they are.
pool_options with_room(pool_options o) {
    if (o.calls_per_worker > 0 && width_of(o) <= 4'096) o.calls_per_worker = std::max(o.calls_per_worker, width_of(o));
    return o;
}

}  // namespace

pool_impl::pool_impl(asio::any_io_executor on, pool_options options)
    : on_(std::move(on)),
      strand_(on_),
      options_(with_room(std::move(options))),
      sessions_(std::make_shared<session_host>(options_.sessions)),
      alarm_(strand_) {
    if (sessions_->memory()) sweeper_ = std::make_shared<sweeper>(strand_, sessions_->memory());
}

// ---- calls

/// @param tool  moved from when there is a call
result<call_ptr> pool_impl::make_call(const switchboard& board, std::string& tool, const value& arguments,
                                      const call_options& options) {
    auto encoded = encode(arguments, "args", options_.max_message_bytes);
    if (!encoded) return tl::unexpected(std::move(encoded).error());
    auto c = std::make_shared<call>();
    if (encoded->size() > max_inline_bytes) c->large = std::make_shared<const std::string>(std::move(*encoded));
    else c->arguments = std::move(*encoded);
    c->session = options.session();
    c->idempotent = options.is_idempotent();
    c->priority = options.priority();
    c->deadline = deadline_after(options.timeout());
    if (!options.traceparent().empty()) c->trace = accept_trace(options.traceparent(), options.tracestate());
    if (const auto* outer = current_outer_call(); outer && outer->board == &board) {
        c->parent = outer->call;
        c->deadline = std::min(c->deadline, outer->call->deadline);
        if (!c->trace) c->trace = outer->call->trace;
        if (c->session.empty()) {
            c->session = outer->call->session;
            c->session_held = outer->call->session_held;
        }
    }
    if (!c->session.empty() && !c->session_held) {
        auto held = sessions_->hold(c->session);
        if (!held) return tl::unexpected(std::move(held).error());
        c->session_held = std::move(*held);
    }
    if (!c->session.empty()) c->affinity = options.affinity().value_or(options_.sessions.affinity);
    c->tool = std::move(tool);
    return c;
}

void pool_impl::begin_execute(std::string tool, value arguments, call_options options, completion<result<value>> done,
                              std::shared_ptr<served_by> served, begun_call* begun) {
    const auto fail = [&](const error& why) {
        auto named = why.with_tool(tool);
        completion<result<value>>::post(std::move(done), tl::unexpected(std::move(named)));
    };
    if (fork_shield::in_child()) return fail(forked_error());  // before any mutex: a thread that is no more may hold it
    std::unique_lock lock(mutex_);
    const auto board = board_;
    lock.unlock();
    if (!board) return fail(error(errc::not_started, "await pool.start() first"));
    auto made = make_call(*board, tool, arguments, options);
    if (!made) return fail(made.error());
    auto c = std::move(*made);
    c->served = std::move(served);
    c->done = std::move(done);
    if (auto slot = c->done.slot(); slot.is_connected())
        slot.assign([weak = std::weak_ptr(c), board](asio::cancellation_type type) {
            if (!asks_to_stop(type)) return;
            if (const auto live = weak.lock()) board->give_up(*live, errc::cancelled);
        });
    if (begun) *begun = {board, c};
    board->submit(std::move(c));
}

std::shared_ptr<stream_core> pool_impl::open_stream(std::string tool, const value& arguments,
                                                    const call_options& options, const asio::any_io_executor& on) {
    const auto state = std::make_shared<stream_state>();
    const auto refuse = [&](const error& why) {
        state->end(tl::unexpected(why.with_tool(tool)));
        return std::make_shared<stream_core>(on_, state, nullptr, nullptr, options_.max_message_bytes);
    };
    if (fork_shield::in_child()) return refuse(forked_error());
    std::unique_lock lock(mutex_);
    const auto board = board_;
    lock.unlock();
    if (!board) return refuse(error(errc::not_started, "await pool.start() first"));
    auto made = make_call(*board, tool, arguments, options);
    if (!made) return refuse(made.error());
    auto c = std::move(*made);
    c->stream = state;
    c->done = {[](result<value>) {}, on};
    board->submit(c);
    return std::make_shared<stream_core>(on_, state, std::move(c), board, options_.max_message_bytes);
}

void pool_impl::begin_execute_reply(std::string tool, value arguments, call_options options,
                                    completion<result<reply>> done) {
    auto served = std::make_shared<served_by>();
    auto with_it = [served](result<value> outcome) -> result<reply> {
        if (!outcome) return tl::unexpected(std::move(outcome).error());
        return reply{std::move(*outcome), std::move(served->worker), served->moved};
    };
    begin_execute(std::move(tool), std::move(arguments), std::move(options),
                  std::move(done).adapt<result<value>>(std::move(with_it)), std::move(served));
}

void pool_impl::set_alarm(call::clock::time_point at) {
    asio::post(strand_, [weak = weak_from_this(), at] {
        const auto self = weak.lock();
        if (!self || at >= self->alarm_at_ || self->phase_ == phase::stopped) return;
        self->alarm_at_ = at;
        self->arm();
    });
}

void pool_impl::arm() {
    alarm_.expires_at(alarm_at_);
    alarm_.async_wait([weak = weak_from_this()](const asio::error_code& moved) {
        const auto self = weak.lock();
        if (moved || !self || fork_shield::in_child()) return;
        self->alarm_at_ = call::clock::time_point::max();
        self->board_->expire(call::clock::now());
    });
}

// ---- start

void pool_impl::begin_start(completion<result<void>> done) {
    if (refuse_in_child(done)) return;
    struct starter {
        completion<result<void>> done;
        bool cancelled = false;
    };
    auto shared = std::make_shared<starter>();
    shared->done = std::move(done);
    if (auto slot = shared->done.slot(); slot.is_connected())
        slot.assign(
            [strand = strand_, pool = weak_from_this(), who = std::weak_ptr(shared)](asio::cancellation_type type) {
                if (!asks_to_stop(type)) return;
                asio::post(strand, [pool, who] {
                    const auto self = pool.lock();
                    const auto asked = who.lock();
                    if (!self || !asked || !asked->done) return;  // it has ended: turned away, say, by a pool that runs
                    asked->cancelled = true;
                    self->request_stop();
                });
            });
    asio::co_spawn(strand_, start(shared_from_this()), [shared](std::exception_ptr failed, result<void> up) {
        if (failed) up = tl::unexpected(error(errc::launch_failed, "an exception escaped while the pool started"));
        if (!up && up.error() == errc::pool_stopped && shared->cancelled)
            up = tl::unexpected(error(errc::cancelled, "the start was cancelled, and so the pool has stopped"));
        completion<result<void>>::post(std::move(shared->done), std::move(up));
    });
}

asio::awaitable<result<void>> pool_impl::start(std::shared_ptr<pool_impl> self) {
    if (self->phase_ == phase::stopping || self->phase_ == phase::stopped) co_return tl::unexpected(stopped_error());
    if (self->phase_ != phase::fresh) co_return tl::unexpected(error(errc::already_started, "a pool starts once"));
    if (const auto mistakes = self->options_.mistakes(); !mistakes.empty()) {
        co_return tl::unexpected(error(errc::invalid_options, describe(mistakes)));
    }
    self->phase_ = phase::starting;
    result<void> up;
    try {
        up = co_await bring_up(self);
    } catch (const std::exception& e) {
        up = tl::unexpected(error(errc::launch_failed, e.what()));
    }
    if (up && self->phase_ == phase::starting) {
        self->phase_ = phase::running;
        self->board_->open();
        self->crew_->open();
        if (self->sweeper_) self->sweeper_->start();
        co_return up;
    }
    // What fails because the pool is being stopped is not the reason.
    if (self->phase_ != phase::starting) up = tl::unexpected(stopped_error());
    co_await bring_down(self);
    co_return up;
}

asio::awaitable<result<void>> pool_impl::bring_up(std::shared_ptr<pool_impl> self) {
    const auto& options = self->options_;
    auto board = std::make_shared<switchboard>(
        switchboard::limits{options.queue_limit, options.calls_per_worker, max_inflight_bytes,
                            options.sessions.max_sessions, options.sessions.when_worker_goes, credit_rules::adaptive()},
        [weak = self->weak_from_this()](call::clock::time_point at) {
            if (const auto me = weak.lock()) me->set_alarm(at);
        });
    const auto paths = absolute_paths(options);
    const auto book = std::make_shared<ledger>();
    const launcher::config launch{options.python, worker_environment(options), options.start_timeout, book};
    const zygote::config module{options.module, paths, options.start_timeout, options.output == worker_output::forward,
                                name_of(options.profile)};
    const auto services = std::make_shared<pool_services>(pool_services{
        self->on_, options, paths, book,
        std::make_shared<worker_source>(self->strand_, launch, module, options.start_method),
        std::make_shared<endpoint>(self->strand_, options.max_message_bytes), board,
        std::make_shared<desk>(self->on_, board, self->sessions_, self->host_tools_, options.max_message_bytes),
        std::make_shared<pool_health>(board, self->events_),
        std::make_shared<restart_budget>(options.restart_limit.per_pool, options.restart_limit.window),
        std::make_shared<recycling_gate>(options.lifecycle.max_recycling), self->events_});
    const auto workers = std::make_shared<crew>(self->strand_, services);
    {
        const std::lock_guard lock(self->mutex_);
        if (self->ended_) co_return tl::unexpected(stopped_error());
        self->board_ = board;
        self->book_ = book;
        self->source_ = services->source;
        self->endpoint_ = services->door;
        self->health_ = services->health;
        self->crew_ = workers;
    }
    if (auto open = services->door->open(options.socket_directory, *book); !open)
        co_return tl::unexpected(open.error());
    if (auto up = co_await worker_source::start(services->source); !up) co_return tl::unexpected(up.error());
    if (self->phase_ != phase::starting) co_return tl::unexpected(stopped_error());

    co_return co_await crew::bring_up(workers);
}

/// Cancellation ends the waiting alone.
void pool_impl::let_go_when_cancelled(const std::shared_ptr<waiter>& w, const char* words) {
    auto slot = w->done.slot();
    if (!slot.is_connected()) return;
    slot.assign([strand = strand_, weak = std::weak_ptr(w), words](asio::cancellation_type type) {
        if (!asks_to_stop(type)) return;
        asio::post(strand, [weak, words] {
            if (const auto live = weak.lock(); live && live->done)
                completion<result<void>>::post(std::move(live->done), tl::unexpected(error(errc::cancelled, words)));
        });
    });
}

// ---- recycling

void pool_impl::begin_recycle(std::optional<std::string> worker, completion<result<void>> done) {
    if (refuse_in_child(done)) return;
    std::unique_lock lock(mutex_);
    const auto workers = crew_;
    const auto source = source_;
    lock.unlock();
    if (!workers)
        return completion<result<void>>::post(std::move(done),
                                              tl::unexpected(error(errc::not_started, "await pool.start() first")));
    auto shared = std::make_shared<waiter>(waiter{std::move(done)});
    let_go_when_cancelled(shared, "no longer waiting; the replacement goes on");
    const auto tell = [strand = strand_, shared](result<void> r) {
        asio::post(strand, [shared, r = std::move(r)]() mutable {
            if (shared->done) completion<result<void>>::post(std::move(shared->done), std::move(r));
        });
    };
    if (worker) return workers->recycle(*worker, tell);
    // First the code: when it cannot be imported the workers stay as they are.
    asio::co_spawn(strand_, worker_source::renew(source), [workers, tell](std::exception_ptr failed, result<void> up) {
        if (failed)
            up = tl::unexpected(error(errc::launch_failed, "an exception escaped while the module was imported"));
        if (up) workers->recycle_all(tell);
        else tell(std::move(up));
    });
}

// ---- size

void pool_impl::begin_resize(worker_count to, completion<result<void>> done) {
    if (refuse_in_child(done)) return;
    auto shared = std::make_shared<waiter>(waiter{std::move(done)});
    let_go_when_cancelled(shared, "no longer waiting; the pool goes on to its new size");
    asio::post(strand_, [self = shared_from_this(), shared, to] {
        self->resize(to, [shared](result<void> r) {
            if (shared->done) completion<result<void>>::post(std::move(shared->done), std::move(r));
        });
    });
}

void pool_impl::resize(worker_count to, const crew::listener& done) {
    if (phase_ == phase::stopping || phase_ == phase::stopped) return done(tl::unexpected(stopped_error()));
    if (phase_ != phase::running) return done(tl::unexpected(error(errc::not_started, "await pool.start() first")));
    if (const auto mistakes = mistakes_of(to, options_.queue_limit); !mistakes.empty())
        return done(tl::unexpected(error(errc::invalid_options, describe(mistakes))));
    crew_->resize(to, done);
}

// ---- the end

void pool_impl::begin_stop(completion<result<void>> done) {
    if (refuse_in_child(done)) return;
    auto shared = std::make_shared<waiter>(waiter{std::move(done)});
    let_go_when_cancelled(shared, "no longer waiting; the pool goes on stopping");
    asio::post(strand_, [self = shared_from_this(), shared] { self->add_waiter(shared); });
    request_stop();
}

void pool_impl::add_waiter(std::shared_ptr<waiter> w) {
    if (phase_ == phase::stopped) completion<result<void>>::post(std::move(w->done), {});
    else stop_waiters_.push_back(std::move(w));
}

void pool_impl::request_stop() {
    asio::post(strand_, [self = shared_from_this()] {
        const auto before = self->phase_;
        if (before == phase::stopping && self->crew_) self->crew_->hasten();
        if (before == phase::stopping || before == phase::stopped) return;
        self->phase_ = phase::stopping;
        if (before == phase::starting) {  // start() brings it down, soon
            if (self->crew_) self->crew_->stop();
            if (self->source_) self->source_->refuse();
            return;
        }
        asio::co_spawn(self->strand_, bring_down(self), [](std::exception_ptr) {});
    });
}

asio::awaitable<void> pool_impl::bring_down(std::shared_ptr<pool_impl> self) {
    self->phase_ = phase::stopping;
    {
        const std::lock_guard lock(self->mutex_);
        if (!self->board_)  // never started: calls are to hear that it has stopped
            self->board_ = std::make_shared<switchboard>(switchboard::limits{0, 1, 0}, [](auto) {});
    }
    self->board_->shut(stopped_error());
    if (self->source_) self->source_->refuse();
    if (self->crew_) {
        self->crew_->stop();
        co_await crew::wait_until_gone(self->crew_);
    }
    if (self->endpoint_) self->endpoint_->close();
    if (self->source_) co_await worker_source::end(self->source_);
    if (self->book_) self->book_->close();
    if (self->sweeper_) self->sweeper_->stop();
    self->sessions_->shut(stopped_error());
    self->phase_ = phase::stopped;
    self->alarm_.cancel();
    for (const auto& w : std::exchange(self->stop_waiters_, {}))
        if (w->done) completion<result<void>>::post(std::move(w->done), {});
}

void pool_impl::end_now() noexcept {
    // Nothing here is ours to end then, and gRPC's objects cannot even be destroyed.
    if (fork_shield::in_child()) return kept_for_ever().push_back(shared_from_this());
    std::unique_lock lock(mutex_);
    ended_ = true;
    const auto board = board_;
    const auto workers = crew_;
    const auto door = endpoint_;
    const auto source = source_;
    const auto book = book_;
    lock.unlock();
    const auto why = destroyed_error();
    if (board) board->shut(why);
    sessions_->shut(why);
    if (workers) workers->end_now(why);
    if (door) door->close();
    if (source) source->close();
    if (book) book->close();
    request_stop();
}

// ---- what it knows

std::vector<tool_spec> pool_impl::tools() const {
    if (fork_shield::in_child()) return {};
    const std::lock_guard lock(mutex_);
    return board_ ? board_->tools() : std::vector<tool_spec>();
}

std::vector<worker_stats> pool_impl::workers() const {
    if (fork_shield::in_child()) return {};
    const std::lock_guard lock(mutex_);
    return crew_ ? crew_->stats() : std::vector<worker_stats>();
}

pool_stats pool_impl::stats() const {
    if (fork_shield::in_child()) return {};
    const std::lock_guard lock(mutex_);
    auto s = board_ ? board_->stats() : pool_stats();
    s.start_method = options_.start_method;
    if (source_) std::tie(s.start_method, s.start_method_reason) = source_->method();
    if (endpoint_) s.refused_connections = endpoint_->refused();
    if (health_) s.degraded = health_->reason();
    if (crew_) s.workers = crew_->stats();
    return s;
}

}  // namespace snakepit::detail
