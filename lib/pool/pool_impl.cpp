#include "pool/pool_impl.hpp"

#include "admin/admin_server.hpp"
#include "error/names.hpp"
#include "host/call_scope.hpp"
#include "pool/desk.hpp"
#include "pool/hedge.hpp"
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
#include <iterator>
#include <set>
#include <thread>
#include <tuple>

namespace snakepit::detail {
namespace {

std::size_t most_workers_of(const pool_options& options) {
    auto all = most_of(options.workers);
    for (const auto& g : options.groups) all += most_of(g.workers);
    return all;
}

/// Threads of numerical libraries times workers: without a share for each they trample on each other.
std::map<std::string, std::string> worker_environment(const pool_options& options) {
    auto env = options.environment;
    const auto share =
        std::to_string(std::max<std::size_t>(1, std::thread::hardware_concurrency() / most_workers_of(options)));
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

/// What workers of this pool may need, each once.
std::vector<std::string> profiles_of(const pool_options& options) {
    std::set<std::string> names{name_of(options.profile)};
    for (const auto& g : options.groups) names.insert(name_of(g.profile));
    return {names.begin(), names.end()};
}

error no_such_worker(const std::string& wanted, const std::vector<worker_stats>& there_are) {
    std::string known;
    for (const auto& w : there_are) known += (known.empty() ? "" : ", ") + w.id;
    return {errc::bad_arguments,
            fmt::format("no worker \"{}\"; there are: {}", wanted, known.empty() ? "none" : known)};
}

error no_such_group(const std::string& wanted, const groups& there_are) {
    std::string known;
    for (const auto& g : there_are)
        if (!g.name.empty()) known += (known.empty() ? "" : ", ") + g.name;
    return {errc::bad_arguments, fmt::format("no group \"{}\"; there are: {}", wanted, known.empty() ? "none" : known)};
}

}  // namespace

pool_impl::pool_impl(asio::any_io_executor on, pool_options options)
    : on_(std::move(on)),
      strand_(on_),
      options_(with_room(std::move(options))),
      telemetry_(options_, [this] { return stats(); }),
      sessions_(std::make_shared<session_host>(options_.sessions)),
      alarm_(strand_) {
    if (sessions_->memory()) sweeper_ = std::make_shared<sweeper>(strand_, sessions_->memory());
}

// ---- calls

result<std::shared_ptr<switchboard>> pool_impl::board_of(const std::string& tool) const {
    std::unique_lock lock(mutex_);
    if (groups_->size() == 1) return groups_->front().board;
    const auto all = groups_;
    lock.unlock();
    return board_for(*all, tool);
}

/// Of what comes no further than here; the switchboard tells of what it refuses.
void pool_impl::tell_of_refusal(const std::string& tool, const error& why) const {
    if (fork_shield::in_child()) return;
    events()->publish([&] {
        happened::call_ended e;
        e.tool = tool;
        e.outcome = name_of(why.code());
        e.submitted = e.ended = call::clock::now();
        e.why = why;
        return e;
    });
}

/// @param tool  moved from when there is a call
result<call_ptr> pool_impl::make_call(std::string& tool, const value& arguments, const call_options& options) {
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
    if (const auto* outer = current_outer_call(); outer && outer->pool == deadlocks_.get()) {
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
    if (const auto& traces = telemetry_.traces()) traces->begin(*c);
    return c;
}

void pool_impl::begin_execute(std::string tool, value arguments, call_options options, completion<result<value>> done,
                              std::shared_ptr<served_by> served, begun_call* begun) {
    const auto fail = [&](const error& why) {
        tell_of_refusal(tool, why);
        auto named = why.with_tool(tool);
        completion<result<value>>::post(std::move(done), tl::unexpected(std::move(named)));
    };
    if (fork_shield::in_child()) return fail(forked_error());  // before any mutex: a thread that is no more may hold it
    if (draining_ && !current_outer_call()) return fail(draining_error());
    const auto found = board_of(tool);
    if (!found) return fail(found.error());
    const auto& board = *found;
    auto made = make_call(tool, arguments, options);
    if (!made) return fail(made.error());
    auto c = std::move(*made);
    c->served = std::move(served);
    c->done = std::move(done);
    if (begun) *begun = {board, c};
    if (options.hedge_after().count() > 0) {
        c->wants_hedge = true;
        const auto attempts = std::make_shared<hedge>(board, sessions_, telemetry_.traces());
        attempts->follow(c, options.hedge_after(), on_);
        if (begun) begun->attempts = attempts;
        return board->submit(std::move(c));
    }
    if (auto slot = c->done.slot(); slot.is_connected())
        slot.assign([weak = std::weak_ptr(c), board](asio::cancellation_type type) {
            if (!asks_to_stop(type)) return;
            if (const auto live = weak.lock()) board->give_up(*live, errc::cancelled);
        });
    board->submit(std::move(c));
}

std::shared_ptr<stream_core> pool_impl::open_stream(std::string tool, const value& arguments,
                                                    const call_options& options, const asio::any_io_executor& on) {
    const auto state = std::make_shared<stream_state>();
    const auto refuse = [&](const error& why) {
        tell_of_refusal(tool, why);
        state->end(tl::unexpected(why.with_tool(tool)));
        return std::make_shared<stream_core>(on_, state, nullptr, nullptr, options_.max_message_bytes);
    };
    if (fork_shield::in_child()) return refuse(forked_error());
    if (draining_ && !current_outer_call()) return refuse(draining_error());
    const auto board = board_of(tool);
    if (!board) return refuse(board.error());
    auto made = make_call(tool, arguments, options);
    if (!made) return refuse(made.error());
    auto c = std::move(*made);
    c->stream = state;
    c->done = {[](result<value>) {}, on};
    (*board)->submit(c);
    return std::make_shared<stream_core>(on_, state, std::move(c), *board, options_.max_message_bytes);
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
        for (const auto& g : *self->look_at_groups()) g.board->expire(call::clock::now());
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
        const auto all = self->look_at_groups();
        for (const auto& g : *all) g.board->open();
        for (const auto& g : *all) g.workers->open();
        if (self->sweeper_) self->sweeper_->start();
        self->events()->publish([&] { return happened::pool_started{self->options_.module}; });
        co_return up;
    }
    // What fails because the pool is being stopped is not the reason.
    if (self->phase_ != phase::starting) up = tl::unexpected(stopped_error());
    co_await bring_down(self);
    co_return up;
}

asio::awaitable<result<void>> pool_impl::bring_up(std::shared_ptr<pool_impl> self) {
    if (auto told = self->telemetry_.start(); !told) co_return tl::unexpected(told.error());
    const auto all = self->make_groups();
    if (!all) co_return tl::unexpected(stopped_error());
    if (auto open = self->endpoint_->open(self->options_.socket_directory, *self->book_); !open)
        co_return tl::unexpected(open.error());
    if (auto open = self->open_admin(); !open) co_return tl::unexpected(open.error());
    if (auto up = co_await worker_source::start(self->source_); !up) co_return tl::unexpected(up.error());
    if (self->phase_ != phase::starting) co_return tl::unexpected(stopped_error());

    result<void> outcome;
    auto coming = all->size();
    asio::steady_timer done(self->strand_, asio::steady_timer::time_point::max());
    for (const auto& g : *all) {
        g.workers->hire_first();
        asio::co_spawn(self->strand_, crew::wait_until_up(g.workers), [&](std::exception_ptr e, result<void> up) {
            if (e) up = tl::unexpected(error(errc::launch_failed, "an exception escaped while workers were started"));
            if (!up && outcome) {  // the first reason; the others need not come up any more
                outcome = std::move(up);
                for (const auto& other : *all) other.workers->stop();
            }
            if (--coming == 0) done.cancel();
        });
    }
    asio::error_code woken;
    if (coming > 0) co_await done.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    co_return outcome;
}

result<void> pool_impl::open_admin() {
    if (!options_.admin_socket) return {};
    auto made = admin_server::open(strand_, shared_from_this(), endpoint_->admin_path());
    if (!made) return tl::unexpected(made.error());
    const std::lock_guard lock(mutex_);
    if (!ended_) admin_ = *made;
    else (*made)->close();
    return {};
}

/// And what they share. @return  null: the pool object was destroyed
std::shared_ptr<const groups> pool_impl::make_groups() {
    const auto paths = absolute_paths(options_);
    const auto book = std::make_shared<ledger>();
    const launcher::config launch{options_.python, worker_environment(options_), options_.start_timeout, book};
    const zygote::config module{options_.module, paths, options_.start_timeout,
                                options_.output == worker_output::forward, profiles_of(options_)};
    const auto source = std::make_shared<worker_source>(strand_, launch, module, options_.start_method);
    const auto door = std::make_shared<endpoint>(strand_, options_.max_message_bytes, events());
    std::vector<std::string> names;
    for (const auto& g : options_.groups) names.push_back(g.name);
    const auto make = [&](const pool_options& options, std::string worker_prefix) {
        const switchboard::limits allowed{options.queue_limit,
                                          options.calls_per_worker,
                                          max_inflight_bytes,
                                          options.sessions.max_sessions,
                                          options.sessions.when_worker_goes,
                                          credit_rules::adaptive(),
                                          {options.restart_limit.per_tool, options.restart_backoff.longest}};
        const auto board = std::make_shared<switchboard>(
            allowed,
            [weak = weak_from_this()](call::clock::time_point at) {
                if (const auto me = weak.lock()) me->set_alarm(at);
            },
            deadlocks_, switchboard::audience{events(), options.group});
        deadlocks_->add(board);
        const auto health = std::make_shared<pool_health>(options.group, board, events());
        const auto services = std::make_shared<pool_services>(pool_services{
            on_, options, std::move(worker_prefix), names, paths, book, source, door, board,
            std::make_shared<desk>(on_, board, sessions_, host_tools_, options.max_message_bytes), health,
            std::make_shared<restart_budget>(options.restart_limit.per_pool, options.restart_limit.window),
            std::make_shared<recycling_gate>(options.lifecycle.max_recycling), events(), telemetry_.spans(),
            telemetry_.redact_with(), telemetry_.python_level()});
        return group{options.group, options.queue_limit, board, health, std::make_shared<crew>(strand_, services)};
    };
    groups all{make(options_, "w")};
    for (const auto& g : options_.groups) all.push_back(make(with_room(options_of(options_, g)), g.name + '-'));

    const std::lock_guard lock(mutex_);
    if (ended_) return nullptr;
    book_ = book;
    source_ = source;
    endpoint_ = door;
    groups_ = std::make_shared<const groups>(std::move(all));
    return groups_;
}

std::shared_ptr<const groups> pool_impl::look_at_groups() const {
    const std::lock_guard lock(mutex_);
    return groups_;
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
    const auto all = groups_;
    const auto source = source_;
    lock.unlock();
    if (!source)
        return completion<result<void>>::post(std::move(done),
                                              tl::unexpected(error(errc::not_started, "await pool.start() first")));
    auto shared = std::make_shared<waiter>(waiter{std::move(done)});
    let_go_when_cancelled(shared, "no longer waiting; the replacement goes on");
    const auto tell = [strand = strand_, shared](result<void> r) {
        asio::post(strand, [shared, r = std::move(r)]() mutable {
            if (shared->done) completion<result<void>>::post(std::move(shared->done), std::move(r));
        });
    };
    if (worker) {
        if (std::ranges::none_of(*all, [&](const group& g) { return g.workers->recycle(*worker, tell); }))
            tell(tl::unexpected(no_such_worker(*worker, workers())));
        return;
    }
    // First the code: when it cannot be imported the workers stay as they are.
    asio::co_spawn(strand_, worker_source::renew(source), [all, tell](std::exception_ptr failed, result<void> up) {
        if (failed)
            up = tl::unexpected(error(errc::launch_failed, "an exception escaped while the module was imported"));
        if (!up) return tell(std::move(up));
        const auto tell_of_one = joined(all->size(), tell);
        for (const auto& g : *all) g.workers->recycle_all(tell_of_one);
    });
}

// ---- size

void pool_impl::begin_resize(std::optional<std::string> group, worker_count to, completion<result<void>> done) {
    if (refuse_in_child(done)) return;
    auto shared = std::make_shared<waiter>(waiter{std::move(done)});
    let_go_when_cancelled(shared, "no longer waiting; the pool goes on to its new size");
    asio::post(strand_, [self = shared_from_this(), shared, group = std::move(group), to] {
        self->resize(group, to, [shared](result<void> r) {
            if (shared->done) completion<result<void>>::post(std::move(shared->done), std::move(r));
        });
    });
}

void pool_impl::resize(const std::optional<std::string>& name, worker_count to, const crew::listener& done) {
    if (phase_ == phase::stopping || phase_ == phase::stopped) return done(tl::unexpected(stopped_error()));
    if (phase_ == phase::starting)
        return done(tl::unexpected(error(errc::not_started, "the pool is still starting; try again when it has")));
    if (phase_ != phase::running) return done(tl::unexpected(error(errc::not_started, "await pool.start() first")));
    const auto all = look_at_groups();
    const auto wanted = name ? std::ranges::find(*all, *name, &group::name) : all->begin();
    if (wanted == all->end()) return done(tl::unexpected(no_such_group(*name, *all)));
    if (const auto mistakes = mistakes_of(to, wanted->queue_limit); !mistakes.empty())
        return done(tl::unexpected(error(errc::invalid_options, describe(mistakes))));
    wanted->workers->resize(to, done);
}

// ---- operators

void pool_impl::drain() {
    if (!draining_.exchange(true)) events()->publish([] { return happened::pool_draining{}; });
}

void pool_impl::resume() {
    if (draining_.exchange(false)) events()->publish([] { return happened::pool_resumed{}; });
}

void pool_impl::begin_stacks(std::string worker, completion<result<std::string>> done) {
    auto shared = std::make_shared<completion<result<std::string>>>(std::move(done));
    const auto tell = [shared](result<std::string> text) {
        completion<result<std::string>>::post(std::move(*shared), std::move(text));
    };
    const auto all = look_at_groups();
    if (std::ranges::none_of(*all,
                             [&](const group& g) { return g.workers && g.workers->ask_for_stacks(worker, tell); }))
        tell(tl::unexpected(no_such_worker(worker, workers())));
}

result<void> pool_impl::kill(const std::string& worker) {
    const auto known = workers();
    const auto found = std::ranges::find(known, worker, &worker_stats::id);
    if (found != known.end() && found->pid == 0)
        return tl::unexpected(error(errc::worker_lost, "the worker has no process now").with_worker(worker));
    const auto all = look_at_groups();
    if (std::ranges::any_of(*all, [&](const group& g) { return g.workers && g.workers->kill(worker); })) return {};
    return tl::unexpected(no_such_worker(worker, known));
}

result<void> pool_impl::check_worker(const std::string& id) const {
    const auto all = workers();
    if (std::ranges::find(all, id, &worker_stats::id) != all.end()) return {};
    return tl::unexpected(no_such_worker(id, all));
}

std::string_view pool_impl::phase_name() const noexcept {
    switch (phase_) {
        case phase::fresh:
        case phase::starting: return "starting";
        case phase::running: return "running";
        case phase::stopping: return "stopping";
        case phase::stopped: break;
    }
    return "stopped";
}

void pool_impl::set_log_level(snakepit::log_level least) {
    telemetry_.set_log_level(least);
    for (const auto& g : *look_at_groups())
        if (g.workers) g.workers->tell_log_level();
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
        const auto all = self->look_at_groups();
        if (before == phase::stopping)
            for (const auto& g : *all)
                if (g.workers) g.workers->hasten();
        if (before == phase::stopping || before == phase::stopped) return;
        self->phase_ = phase::stopping;
        if (before == phase::starting) {  // start() brings it down, soon
            for (const auto& g : *all) g.workers->stop();
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
        if (self->groups_->empty())  // never started: calls are to hear that it has stopped
            self->groups_ = std::make_shared<const groups>(
                groups{{"", 0, std::make_shared<switchboard>(switchboard::limits{0, 1, 0}, [](auto) {})}});
    }
    const auto all = self->look_at_groups();
    for (const auto& g : *all) g.board->shut(stopped_error());
    if (self->source_) self->source_->refuse();
    for (const auto& g : *all)
        if (g.workers) g.workers->stop();
    for (const auto& g : *all)
        if (g.workers) co_await crew::wait_until_gone(g.workers);
    if (self->admin_) self->admin_->close();
    if (self->endpoint_) self->endpoint_->close();
    if (self->source_) co_await worker_source::end(self->source_);
    if (self->book_) self->book_->close();
    if (self->sweeper_) self->sweeper_->stop();
    self->sessions_->shut(stopped_error());
    self->events()->publish([] { return happened::pool_stopped{}; });
    co_await pool_telemetry::stop(self->telemetry_);
    if (self->admin_) co_await admin_server::end(self->admin_);
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
    const auto all = groups_;
    const auto door = endpoint_;
    const auto admin = admin_;
    const auto source = source_;
    const auto book = book_;
    lock.unlock();
    const auto why = destroyed_error();
    for (const auto& g : *all) g.board->shut(why);
    sessions_->shut(why);
    for (const auto& g : *all)
        if (g.workers) g.workers->end_now(why);
    if (admin) admin->close();
    if (door) door->close();
    if (source) source->close();
    if (book) book->close();
    telemetry_.end_now();
    request_stop();
}

// ---- what it knows

std::vector<tool_spec> pool_impl::tools() const {
    if (fork_shield::in_child()) return {};
    std::vector<tool_spec> tools;
    for (const auto& g : *look_at_groups()) std::ranges::move(g.board->tools(), std::back_inserter(tools));
    return tools;
}

std::vector<worker_stats> pool_impl::workers() const {
    if (fork_shield::in_child()) return {};
    std::vector<worker_stats> workers;
    for (const auto& g : *look_at_groups())
        if (g.workers) std::ranges::move(g.workers->stats(), std::back_inserter(workers));
    return workers;
}

pool_stats pool_impl::stats() const {
    if (fork_shield::in_child()) return {};
    pool_stats s;
    s.workers = workers();
    const std::lock_guard lock(mutex_);
    for (const auto& g : *groups_) {
        group_stats of_one{g.board->stats(), g.name, g.health ? g.health->reason() : std::string()};
        if (const auto tools = g.board->degraded_tools(); !tools.empty())
            of_one.degraded += (of_one.degraded.empty() ? "" : "; ") + tools;
        s += of_one;
        if (!of_one.degraded.empty()) s.degraded += (s.degraded.empty() ? "" : "; ") + of_one.degraded;
        s.groups.push_back(std::move(of_one));
    }
    s.start_method = options_.start_method;
    if (source_) std::tie(s.start_method, s.start_method_reason) = source_->method();
    if (endpoint_) s.refused_connections = endpoint_->refused();
    s.draining = draining_;
    if (sessions_->memory()) s.sessions = sessions_->memory()->size();
    telemetry_.add_to(s);
    return s;
}

}  // namespace snakepit::detail
