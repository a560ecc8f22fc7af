#include "pool/crew.hpp"

#include "process/fork_shield.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

namespace snakepit::detail {
namespace {

bool is_up(worker_state s) {
    return s == worker_state::ready || s == worker_state::executing || s == worker_state::recycling ||
           s == worker_state::missed_heartbeat;
}

error stopping_error() { return {errc::pool_stopped, "the pool is stopping or has stopped"}; }

}  // namespace

std::function<void(result<void>)> joined(std::size_t count, std::function<void(result<void>)> done) {
    struct job {
        std::mutex mutex;
        std::size_t left;
        result<void> outcome;
        std::function<void(result<void>)> done;
    };
    const auto shared = std::make_shared<job>();
    shared->left = count;
    shared->done = std::move(done);
    return [shared](result<void> r) {
        {
            const std::lock_guard lock(shared->mutex);
            if (!r && shared->outcome) shared->outcome = std::move(r);
            if (--shared->left > 0) return;
        }
        shared->done(std::move(shared->outcome));
    };
}

crew::crew(strand on, std::shared_ptr<const pool_services> services)
    : on_(std::move(on)),
      pool_(std::move(services)),
      wanted_(pool_->options.workers),
      changed_(on_, clock::time_point::max()),
      wake_(on_) {}

// ---- members

crew::member* crew::find(std::size_t number) {
    const auto found = std::ranges::find(members_, number, &member::number);
    return found == members_.end() ? nullptr : &*found;
}

/// With the lowest number that is free. One that leaves keeps its number until nothing is left of it.
void crew::hire(capsule::after_failed_first_start then) {
    std::size_t number = 0;
    while (number < members_.size() && members_[number].number == number) ++number;
    auto made = std::make_shared<capsule>(fmt::format("{}{}", pool_->worker_prefix, number), pool_, then,
                                          [on = on_, weak = weak_from_this(), number](result<void> up) {
                                              asio::post(on, [weak, number, up = std::move(up)]() mutable {
                                                  if (const auto self = weak.lock()) self->heard(number, std::move(up));
                                              });
                                          });
    {
        const std::lock_guard lock(mutex_);
        if (ended_) return;
        members_.insert(members_.begin() + static_cast<std::ptrdiff_t>(number), member{number, made});
    }
    pool_->health->hired(made->id());
    pool_->events->publish([&] { return happened::worker_hired{made->id(), pool_->options.group}; });
    asio::co_spawn(made->on(), capsule::run(made), [on = on_, weak = weak_from_this(), number](std::exception_ptr e) {
        asio::post(on, [weak, number, failed = e != nullptr] {
            if (const auto self = weak.lock()) self->gone(number, failed);
        });
    });
}

void crew::dismiss(member& m) {
    {
        const std::lock_guard lock(mutex_);
        m.leaving = true;
    }
    pool_->health->dismissed(m.who->id());
    if (m.ended)  // nobody is there to be told
        return asio::post(on_, [self = shared_from_this(), number = m.number] { self->gone(number, false); });
    m.who->request_retirement();
}

void crew::heard(std::size_t number, result<void> up) {
    if (auto* m = find(number)) {
        if (up) m->failure.reset();
        else m->failure = up.error();
    }
    if (!up && !start_failure_) start_failure_ = std::move(up).error();
    changed_.cancel();
    review();
}

void crew::gone(std::size_t number, bool by_exception) {
    auto* m = find(number);
    m->ended = true;
    if (by_exception) {  // not replaced: what was thrown once would be thrown again
        m->failure = error(errc::launch_failed, "an exception escaped from a worker's supervision");
        if (!start_failure_) start_failure_ = m->failure;
    } else if (m->leaving) {
        const auto id = m->who->id();
        {
            const std::lock_guard lock(mutex_);
            std::erase_if(members_, [number](const member& it) { return it.number == number; });
        }
        pool_->events->publish([&] { return happened::worker_left{id}; });
    }
    changed_.cancel();
    review();
}

// ---- up and down

void crew::hire_first() {
    for (int i = std::max(1, wanted_.min); i > 0; --i) hire(capsule::after_failed_first_start::end);
}

asio::awaitable<result<void>> crew::wait_until_up(std::shared_ptr<crew> self) {
    const auto all_up = [&] {
        return std::ranges::all_of(self->members_, [](const member& m) { return is_up(m.who->look().state); });
    };
    while (self->phase_ == phase::starting && !self->start_failure_ && !all_up()) {
        asio::error_code woken;
        co_await self->changed_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
    if (self->phase_ != phase::starting) co_return tl::unexpected(stopping_error());
    if (self->start_failure_) co_return tl::unexpected(*self->start_failure_);
    co_return result<void>();
}

void crew::open() {
    if (phase_ != phase::starting) return;
    phase_ = phase::open;
    review();
}

void crew::stop() {
    if (phase_ == phase::stopping) return;
    phase_ = phase::stopping;
    pool_->board->tell_of_waiting(nullptr);
    wake_.cancel();
    changed_.cancel();
    for (const auto& m : members_) m.who->request_stop();
    for (const auto& tell : std::exchange(resizers_, {})) tell(tl::unexpected(stopping_error()));
}

void crew::hasten() {
    for (const auto& m : members_) m.who->request_stop();
}

asio::awaitable<void> crew::wait_until_gone(std::shared_ptr<crew> self) {
    while (!std::ranges::all_of(self->members_, &member::ended)) {
        asio::error_code woken;
        co_await self->changed_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
}

void crew::end_now(const error& why) noexcept {
    std::unique_lock lock(mutex_);
    ended_ = true;
    std::vector<std::shared_ptr<capsule>> all;
    for (const auto& m : members_) all.push_back(m.who);
    lock.unlock();
    for (const auto& c : all) c->end_now(why);
}

// ---- their number

void crew::resize(worker_count to, listener done) {
    const auto from = std::exchange(wanted_, to);
    pool_->events->publish([&] { return happened::group_resized{pool_->options.group, from, to}; });
    resizers_.push_back(std::move(done));
    review();
}

void crew::review() {
    if (phase_ != phase::open) return;
    const auto now = clock::now();
    const auto calls = look_at_calls(now);
    std::vector<std::size_t> numbers;
    std::vector<worker_view> views;
    for (auto& m : members_) {
        if (m.leaving) continue;
        numbers.push_back(m.number);
        views.push_back(view_of(m, now));
    }
    pool_->board->expect_workers(most_of(wanted_));
    const auto plan = size_for(wanted_, pool_->options.scaling, views, calls, now);
    for (const auto i : plan.dismiss) dismiss(*find(numbers[i]));
    for (std::size_t i = 0; i < plan.hire; ++i) hire(capsule::after_failed_first_start::try_again);
    listen_for_calls(views.size() + plan.hire - plan.dismiss.size() < most_of(wanted_));
    wake_at(std::min(plan.look_again, look_at_));
    tell_who_resized();
}

backlog crew::look_at_calls(clock::time_point now) {
    const bool due = look_at_ <= now;
    auto calls = pool_->board->look(due);
    calls.too_long = calls.too_long && due;
    if (calls.waiting == 0) look_at_ = clock::time_point::max();
    else if (due) look_at_ = now + pool_->options.scaling.up_after;
    return calls;
}

/// While calls wait it looks again and again; while none does the switchboard tells of the first.
void crew::listen_for_calls(bool may_grow) {
    if (!may_grow) look_at_ = clock::time_point::max();
    if (!may_grow || look_at_ != clock::time_point::max() || std::exchange(is_listening_, true)) return;
    pool_->board->tell_of_waiting([on = on_, weak = weak_from_this()] {
        asio::post(on, [weak] {
            const auto self = weak.lock();
            if (!self) return;
            self->is_listening_ = false;
            self->look_at_ = clock::time_point::min();
            self->review();
        });
    });
}

worker_view crew::view_of(member& m, clock::time_point now) const {
    const auto seen = m.who->look();
    worker_view view;
    view.load = seen.load;
    if (is_up(seen.state)) view.is = worker_view::condition::serving;
    else if (m.failure || seen.state == worker_state::dead) view.is = worker_view::condition::failing;
    const bool worked = std::exchange(m.calls, seen.calls) != seen.calls;
    if (seen.load > 0 || view.is == worker_view::condition::coming) m.idle_since.reset();
    else if (worked || !m.idle_since) m.idle_since = now;
    view.idle_since = m.idle_since;
    return view;
}

void crew::wake_at(clock::time_point when) {
    if (when == wake_at_) return;
    wake_at_ = when;
    wake_.cancel();
    if (when == clock::time_point::max()) return;
    wake_.expires_at(when);
    wake_.async_wait([weak = weak_from_this()](const asio::error_code& moved) {
        const auto self = weak.lock();
        if (moved || !self || fork_shield::in_child()) return;
        self->wake_at_ = clock::time_point::max();
        self->review();
    });
}

/// Those that must be there are up, or cannot be; those that are too many have gone.
void crew::tell_who_resized() {
    if (resizers_.empty() || members_.size() > most_of(wanted_)) return;
    auto missing = wanted_.min;
    bool some_are_coming = false;
    std::optional<error> why;
    for (const auto& m : members_) {
        if (m.leaving) continue;
        if (is_up(m.who->look().state)) --missing;
        else if (m.failure) why = m.failure;
        else some_are_coming = true;
    }
    if (missing > 0 && (some_are_coming || !why)) return;
    result<void> outcome;
    if (missing > 0) outcome = tl::unexpected(*why);
    for (const auto& tell : std::exchange(resizers_, {})) tell(outcome);
}

// ---- from any thread

/// Those that are to stay.
std::vector<std::shared_ptr<capsule>> crew::staff() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<capsule>> all;
    for (const auto& m : members_)
        if (!m.leaving) all.push_back(m.who);
    return all;
}

bool crew::recycle(const std::string& worker, const listener& done) {
    const auto all = staff();
    const auto found = std::ranges::find(all, worker, &capsule::id);
    if (found == all.end()) return false;
    (*found)->request_recycling(recycle_reason::asked, done);
    return true;
}

bool crew::ask_for_stacks(const std::string& worker, std::function<void(result<std::string>)> done) {
    const auto all = staff();
    const auto found = std::ranges::find(all, worker, &capsule::id);
    if (found == all.end()) return false;
    (*found)->request_stacks(std::move(done));
    return true;
}

bool crew::kill(const std::string& worker) {
    const auto all = staff();
    const auto found = std::ranges::find(all, worker, &capsule::id);
    if (found == all.end()) return false;
    (*found)->request_kill();
    return true;
}

void crew::tell_log_level() {
    for (const auto& c : staff()) c->request_log_level();
}

void crew::recycle_all(listener done) {
    const auto all = staff();
    if (all.empty()) return done({});
    const auto tell = joined(all.size(), std::move(done));
    for (const auto& c : all) c->request_recycling(recycle_reason::asked, tell);
}

std::vector<worker_stats> crew::stats() const {
    std::vector<std::shared_ptr<capsule>> all;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& m : members_) all.push_back(m.who);
    }
    std::vector<worker_stats> told;
    for (const auto& c : all) told.push_back(c->stats());
    return told;
}

}  // namespace snakepit::detail
