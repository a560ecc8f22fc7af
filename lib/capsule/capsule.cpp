#include "capsule/capsule.hpp"

#include <fmt/format.h>
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>

namespace snakepit::detail {

capsule::capsule(std::string id, std::shared_ptr<const pool_services> pool, after_failed_first_start then,
                 std::function<void(result<void>)> tell)
    : id_(std::move(id)),
      on_(pool->on),
      pool_(std::move(pool)),
      mail_(std::make_shared<mailbox<mail>>(on_)),
      tell_(std::move(tell)),
      must_start_(then == after_failed_first_start::end),
      backoff_(pool_->options.restart_backoff.first, pool_->options.restart_backoff.longest),
      budget_(pool_->options.restart_limit.per_worker, pool_->options.restart_limit.window) {
    stats_.id = id_;
    stats_.group = pool_->options.group;
}

asio::awaitable<void> capsule::run(std::shared_ptr<capsule> self) {
    self->current_ = self->begin_life();
    self->show();
    while (!self->finished_) {
        auto e = co_await mailbox<mail>::next(self->mail_, self->wake_at_);
        if (!e) {
            self->wake_at_ = clock::time_point::max();
            self->happens(happening::due);
        } else if (auto* r = std::get_if<asked_to_recycle>(&*e)) {
            // What is under way may have read the old code.
            auto& to = self->turn_ == turn::taken ? self->next_waiters_ : self->turn_waiters_;
            to.push_back(std::move(r->done));
            self->ask_for_turn(r->why);
        } else if (std::holds_alternative<may_recycle>(*e)) {
            self->take_turn();
        } else if (std::holds_alternative<something_changed>(*e)) {
            continue;
        } else if (std::holds_alternative<asked_to_retire>(*e)) {
            self->retired_ = true;
            self->happens(happening::retire);
        } else if (std::exchange(self->stop_asked_, true)) {
            for (const auto& it : self->lives_) it->hasten();
        } else {
            self->happens(happening::stop);
        }
    }
}

void capsule::take(const life::news& n) {
    if (n.what == happening::gone) return bury(n);
    if (n.of == successor_ && n.what == happening::up) return happens(happening::successor_up);
    if (n.of != current_) return;
    if (n.what == happening::worn && machine_.state() != worker_state::stopping) return ask_for_turn(n.limit);
    if (n.what == happening::lost) dying_ = std::exchange(current_, nullptr);
    happens(n.what);
}

void capsule::bury(const life::news& n) {
    {
        const std::lock_guard lock(mutex_);
        std::erase(lives_, n.of);
        calls_ += n.of->ended_calls();
        stats_.last_exit = n.of->exit();
    }
    pool_->events->publish([&] { return happened::worker_ended{id_, n.of->number(), n.of->ended_as_told(), *n.why}; });
    if (n.of == retiring_) {
        retiring_ = nullptr;
        end_turn({});
    } else if (n.of == successor_) {
        successor_ = nullptr;
        last_end_ = *n.why;
        happens(happening::successor_failed);
    } else if (n.of == current_ || n.of == dying_) {
        last_end_ = *n.why;
        last_reason_ = n.of->reason();
        last_age_ = n.of->age();
        dying_ = nullptr;
        if (n.of == current_) {
            current_ = nullptr;
            happens(machine_.state() == worker_state::booting ? happening::not_up : happening::lost);
        } else if (machine_.state() == worker_state::restarting) {
            back_off();
        }
    }
    if (lives_.empty()) happens(happening::gone);
}

void capsule::happens(happening what) {
    const auto from = machine_.state();
    const auto then = machine_.on(what);
    if (machine_.state() != from || then != action::none) pool_->events->publish([&] { return describe(from, what); });
    obey(then);
    show();
    if (const auto news = std::exchange(tidings_, std::nullopt)) tell_(*news);
}

happened::worker_moved capsule::describe(worker_state from, happening what) const {
    std::string why;
    if (what == happening::worn) why = to_string(turn_reason_);
    if (what == happening::not_up || what == happening::successor_failed || what == happening::spent)
        why = last_end_.message();
    const std::lock_guard lock(mutex_);
    return {id_, stats_.incarnation, from, machine_.state(), std::string(to_string(what)), std::move(why)};
}

void capsule::show() {
    const std::lock_guard lock(mutex_);
    stats_.state = machine_.state();
    shown_ = current_;
}

void capsule::obey(action what) {
    switch (what) {
        case action::none: return;
        case action::start:
            up_ = false;
            current_ = begin_life();
            return;
        case action::publish: return publish(current_);
        case action::withhold: return current_->withhold();
        case action::give_up_on: return current_->give_up_on(restart_reason::silent, "it did not answer");
        case action::back_off: return back_off();
        case action::breed: successor_ = begin_life(); return;
        case action::hand_over: return hand_over();
        case action::carry_on: return carry_on();
        case action::promote: return promote();
        case action::retire: return retire();
        case action::end: return end_all();
        case action::break_down: return break_down();
        case action::finish: return finish();
    }
}

void capsule::publish(const std::shared_ptr<life>& it) {
    {
        const std::lock_guard lock(mutex_);
        stats_.lane = it->lane();
    }
    it->publish();
    pool_->health->mended(id_);
    must_start_ = false;
    up_ = true;
    tidings_ = result<void>();
}

// ---- replacement

void capsule::ask_for_turn(recycle_reason why) {
    if (turn_ != turn::none) return;
    turn_ = turn::waiting;
    turn_reason_ = why;
    pool_->gate->enter([weak = weak_from_this(), on = on_, gate = pool_->gate] {
        asio::post(on, [weak, gate] {
            if (const auto self = weak.lock(); self && !self->finished_) self->mail_->push(may_recycle{});
            else gate->leave();
        });
    });
}

void capsule::take_turn() {
    turn_ = turn::taken;
    happens(happening::worn);
    if (machine_.state() != worker_state::recycling)
        end_turn(unless_impossible());  // it is being started, or is to end
}

void capsule::hand_over() {
    publish(successor_);
    retiring_ = std::exchange(current_, std::exchange(successor_, nullptr));
    retiring_->end(error(errc::worker_lost,
                         "the worker was to be replaced, and the call had not finished when drain_timeout was over"));
    pool_->events->publish([&] { return happened::worker_recycled{id_, current_->number(), turn_reason_}; });
    const std::lock_guard lock(mutex_);
    ++stats_.recycles[turn_reason_];
    stats_.recycling_failed.clear();
}

void capsule::carry_on() {
    current_->publish();  // if it does not answer its heartbeat, that will be told again
    {
        const std::lock_guard lock(mutex_);
        stats_.recycling_failed = last_end_.message();
    }
    end_turn(tl::unexpected(last_end_));
}

/// The old one has gone before its time.
void capsule::promote() {
    current_ = std::exchange(successor_, nullptr);
    up_ = false;
    end_turn({});
}

void capsule::end_turn(const result<void>& how) {
    if (std::exchange(turn_, turn::none) == turn::taken) pool_->gate->leave();
    for (const auto& tell : std::exchange(turn_waiters_, std::exchange(next_waiters_, {}))) tell(how);
    if (!turn_waiters_.empty()) ask_for_turn(recycle_reason::asked);
}

result<void> capsule::unless_impossible() const {
    if (retired_ && !stop_asked_) return {};  // what there is of its pool is new
    if (finished_ || machine_.state() == worker_state::stopping)
        return tl::unexpected(error(errc::pool_stopped, "the pool is stopping or has stopped"));
    if (machine_.state() == worker_state::dead) return tl::unexpected(last_end_);
    return {};
}

// ---- the end of one life, and of all

void capsule::back_off() {
    if (dying_) return;  // first it is to be known why
    if (!up_) tidings_ = tl::unexpected(last_end_);
    if (must_start_) return happens(happening::stop);  // a pool whose workers do not even start is not to try again
    const auto now = clock::now();
    if (!budget_.take(now) || !pool_->restarts->take(now)) return happens(happening::spent);
    const auto pause = backoff_.after(last_age_);
    wake_at_ = now + pause;
    std::unique_lock lock(mutex_);
    const auto restarts = ++stats_.restarts;
    lock.unlock();
    pool_->events->publish([&] { return happened::worker_restarting{id_, restarts, pause, last_reason_}; });
}

/// Out of service, but for a probe now and then.
void capsule::break_down() {
    const auto& limit = pool_->options.restart_limit;
    pool_->health->broken(
        id_, error(errc::worker_lost,
                   fmt::format("restarted too often (restart_limit: {} times in {} s, {} "
                               "for the pool); the last time: {}",
                               limit.per_worker, limit.window.count(), limit.per_pool, last_end_.message())));
    tidings_ = tl::unexpected(last_end_);
    wake_at_ = clock::now() + pool_->options.restart_backoff.longest;
}

/// A predecessor that drains goes on doing so.
void capsule::retire() {
    for (const auto& it : lives_) {
        if (it == current_) it->retire();
        else it->end(error(errc::pool_stopped, "the pool has shrunk while the worker started"));
    }
    end_turn(unless_impossible());
}

void capsule::end_all() {
    wake_at_ = clock::time_point::max();
    const error why(errc::pool_stopped, !up_ ? "the pool was stopped while the worker started"
                                             : "the call had not finished when the pool's drain_timeout was over");
    for (const auto& it : lives_) it->end(why);
    end_turn(unless_impossible());
    if (lives_.empty()) happens(happening::gone);
}

void capsule::finish() {
    finished_ = true;
    end_turn(unless_impossible());
}

std::shared_ptr<life> capsule::begin_life() {
    const std::lock_guard lock(mutex_);
    auto made =
        std::make_shared<life>(on_, pool_, id_, ++stats_.incarnation, [weak = weak_from_this()](const life::news& n) {
            const auto self = weak.lock();
            if (!self) return;
            self->take(n);  // in this turn: whoever looks sees it
            self->mail_->push(something_changed{});
        });
    if (ended_) made->end_now(error(errc::pool_stopped, "the pool was destroyed"));
    lives_.push_back(made);
    // Posted: it may end at once, and tells so; by then it has its place here.
    asio::post(on_, [on = on_, made] { asio::co_spawn(on, life::run(made), [](std::exception_ptr) {}); });
    return made;
}

void capsule::request_stop() {
    asio::post(on_, [self = shared_from_this()] { self->mail_->push(asked_to_stop{}); });
}

void capsule::request_retirement() {
    asio::post(on_, [self = shared_from_this()] { self->mail_->push(asked_to_retire{}); });
}

void capsule::request_recycling(recycle_reason why, std::function<void(result<void>)> done) {
    asio::post(on_, [self = shared_from_this(), why, done = std::move(done)]() mutable {
        if (self->finished_) done(self->unless_impossible());
        else self->mail_->push(asked_to_recycle{why, std::move(done)});
    });
}

void capsule::request_stacks(std::function<void(result<std::string>)> done) {
    asio::post(on_, [self = shared_from_this(), done = std::move(done)]() mutable {
        if (self->current_) return self->current_->ask_for_stacks(std::move(done));
        done(tl::unexpected(error(errc::worker_lost, "the worker has no process now").with_worker(self->id_)));
    });
}

void capsule::request_kill() {
    asio::post(on_, [self = shared_from_this()] {
        if (self->current_) self->current_->kill();
    });
}

void capsule::request_log_level() {
    asio::post(on_, [self = shared_from_this()] {
        std::unique_lock lock(self->mutex_);
        const auto all = self->lives_;
        lock.unlock();
        for (const auto& it : all) it->tell_log_level();
    });
}

void capsule::end_now(const error& why) noexcept {
    std::unique_lock lock(mutex_);
    ended_ = true;
    const auto lives = lives_;
    lock.unlock();
    for (const auto& it : lives) it->end_now(why);
    request_stop();
}

capsule::glance capsule::look() const {
    const std::lock_guard lock(mutex_);
    glance g{stats_.state, 0, calls_};
    for (const auto& it : lives_) {
        g.load += it->load();
        g.calls += it->ended_calls();
    }
    return g;
}

worker_stats capsule::stats() const {
    const std::lock_guard lock(mutex_);
    auto s = stats_;
    if (shown_) {
        s.pid = shown_->pid();
        s.outstanding = shown_->load();
        const auto pace = shown_->pace_of_calls();
        s.credit = pace.credit;
        s.service_time = pace.service;
        s.round_trip = pace.round_trip;
        s.heartbeat = shown_->pulse();
        s.loop_blocked = shown_->times_blocked();
        s.age = std::chrono::duration_cast<std::chrono::milliseconds>(shown_->age());
        s.calls = shown_->ended_calls();
        auto at = shown_->doing();
        s.running = std::move(at.tool);
        s.running_for = std::chrono::duration_cast<std::chrono::microseconds>(at.running);
    }
    s.total_calls = calls_;
    for (const auto& it : lives_) s.total_calls += it->ended_calls();
    if (s.state == worker_state::ready && s.outstanding > 0) s.state = worker_state::executing;
    return s;
}

}  // namespace snakepit::detail
