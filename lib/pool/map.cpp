#include "pool/hedge.hpp"
#include "pool/map_run.hpp"
#include "pool/switchboard.hpp"
#include "process/fork_shield.hpp"
#include "value/codec.hpp"

#include <snakepit/async.hpp>
#include <snakepit/map.hpp>

#include <algorithm>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <map>
#include <stdexcept>

namespace snakepit::detail {
namespace {

constexpr std::size_t most_items = 1'000'000;
constexpr std::chrono::milliseconds first_pause{1};
constexpr std::chrono::milliseconds longest_pause{32};

}  // namespace

/// A call's end. When the executor drops it unrun nobody can be waiting any more, and who seems to must go, or it and
/// the map would keep each other.
struct map_run::handler {
    handler(std::shared_ptr<map_run> of, std::size_t at) : run(std::move(of)), place(at) {}
    handler(handler&&) = default;
    handler& operator=(handler&&) = delete;
    ~handler() {
        if (run) run->dropped();
    }
    void operator()(result<value> outcome) { std::exchange(run, nullptr)->ended(place, std::move(outcome)); }

    std::shared_ptr<map_run> run;
    std::size_t place;
};

/// The same for the end of a pause. Nobody but asio holds the timer, which must not outlive its context.
struct map_run::alarm {
    alarm(std::shared_ptr<map_run> of, std::shared_ptr<asio::steady_timer> by)
        : run(std::move(of)), timer(std::move(by)) {}
    alarm(alarm&&) = default;
    alarm& operator=(alarm&&) = delete;
    ~alarm() {
        if (run) run->dropped();
    }
    void operator()(const asio::error_code&) { std::exchange(run, nullptr)->try_now(); }

    std::shared_ptr<map_run> run;
    std::shared_ptr<asio::steady_timer> timer;
};

map_run::map_run(std::shared_ptr<pool_impl> impl, std::string tool, std::unique_ptr<map_source> items,
                 map_options options)
    : impl_(std::move(impl)),
      tool_(std::move(tool)),
      items_(std::move(items)),
      options_(std::move(options)),
      window_(std::clamp<std::size_t>(options_.window(), 1, most_items), options_.ordered()),
      pause_(first_pause) {}

// ---- the consumer

bool map_run::try_next(const asio::any_io_executor& on, item& out) {
    bool taken = false;
    {
        const std::lock_guard lock(mutex_);
        taken = take(out);
    }
    if (taken && !out) return true;
    fill_window(on);
    if (taken) return true;
    const std::lock_guard lock(mutex_);
    return take(out);
}

bool map_run::take(item& out) {
    out.reset();
    if (over_ || (all_read_ && window_.is_empty())) return true;
    if (!window_.is_ready()) return false;
    out.emplace(window_.pop());
    return true;
}

void map_run::fill_window(const asio::any_io_executor& on) {
    while (try_again(on)) {
    }
    while (begin_next_item(on)) {
    }
}

/// @return  false: no more for now
bool map_run::begin_next_item(const asio::any_io_executor& on) {
    {
        const std::lock_guard lock(mutex_);
        if (over_ || all_read_ || !refused_.empty() || !window_.has_room()) return false;
    }
    auto given = items_->next();  // the user's code
    const std::lock_guard lock(mutex_);
    if (!given) {
        all_read_ = true;
        return false;
    }
    const auto place = window_.open();
    if (calls_.size() <= place) calls_.resize(place + 1);
    calls_[place].refused_at.reset();
    if (!*given) {
        window_.fill(place, tl::unexpected(given->error().with_tool(tool_)));
    } else if (options_.spread()) {
        begin(place, std::move(**given), on);
    } else {
        value arguments = value::array();
        arguments.push_back(std::move(**given));
        begin(place, std::move(arguments), on);
    }
    return true;
}

bool map_run::try_again(const asio::any_io_executor& on) {
    const std::lock_guard lock(mutex_);
    if (over_ || refused_.empty() || retries_ == 0) return false;
    --retries_;
    auto first = std::move(refused_.front());
    refused_.pop_front();
    if (refused_.empty()) retries_ = 0;
    begin(first.place, std::move(first.arguments), on);
    return true;
}

/// With the mutex: a call never ends before this returns, since its end is posted.
void map_run::begin(std::size_t place, value arguments, const asio::any_io_executor& on) {
    auto& c = calls_[place];
    c.call = {};
    c.is_there = true;
    c.was_alone = at_pool_ == 0;
    ++at_pool_;
    on_ = on;
    impl_->begin_execute(tool_, std::move(arguments), options_.call(), {handler(shared_from_this(), place), on},
                         nullptr, &c.call);
}

// ---- the calls

void map_run::ended(std::size_t place, result<value> outcome) {
    const bool was_refused = !outcome && outcome.error() == errc::queue_full;
    auto arguments = was_refused ? arguments_back(place) : std::nullopt;
    completion<item> woken;
    asio::any_io_executor later;
    {
        const std::lock_guard lock(mutex_);
        auto& c = calls_[place];
        c.is_there = false;
        --at_pool_;
        if (over_) return;
        if (!arguments || has_tried_enough(c)) {
            window_.fill(place, std::move(outcome));
            if (!refused_.empty()) ++retries_;
            pause_ = first_pause;
        } else if (c.was_alone) {  // its turn comes again first
            refused_.push_front({place, std::move(*arguments)});
        } else {
            refused_.push_back({place, std::move(*arguments)});
        }
        // No other end will say when there may be room.
        if (at_pool_ == 0 && !refused_.empty() && retries_ == 0 && !std::exchange(alarm_is_set_, true)) later = on_;
        if (is_to_wake()) woken = std::move(waiter_);
    }
    if (later) try_later(std::move(later));
    if (woken) wake(shared_from_this(), std::move(woken));
}

/// Whether others have filled the queue for as long as the call may take.
bool map_run::has_tried_enough(at_pool& c) const {
    const auto now = call::clock::now();
    const auto timeout = options_.call().timeout();
    const auto since = now - c.refused_at.value_or(now);
    if (!c.refused_at) c.refused_at = now;
    return c.was_alone && timeout != call_options::no_timeout && since >= timeout;
}

void map_run::try_later(asio::any_io_executor on) {
    auto pause = first_pause;
    {
        const std::lock_guard lock(mutex_);
        pause = std::exchange(pause_, std::min(2 * pause_, longest_pause));
    }
    auto timer = std::make_shared<asio::steady_timer>(on, pause);
    auto& t = *timer;
    t.async_wait(alarm(shared_from_this(), std::move(timer)));
}

void map_run::try_now() {
    completion<item> woken;
    {
        const std::lock_guard lock(mutex_);
        alarm_is_set_ = false;
        if (over_ || refused_.empty()) return;
        retries_ = std::max<std::size_t>(retries_, 1);
        if (is_to_wake()) woken = std::move(waiter_);
    }
    if (woken) wake(shared_from_this(), std::move(woken));
}

bool map_run::is_to_wake() const { return waiter_ && (window_.is_ready() || (!refused_.empty() && retries_ > 0)); }

/// Of a call that is about to end: the pool has encoded them, and a map that is never refused keeps no copy.
std::optional<value> map_run::arguments_back(std::size_t place) {
    call_ptr c;
    {
        const std::lock_guard lock(mutex_);
        c = calls_[place].call.what.lock();
    }
    if (!c) return std::nullopt;
    auto back = decode(c->large ? *c->large : c->arguments, "args");
    if (!back) return std::nullopt;
    return std::move(*back);
}

void map_run::dropped() noexcept {
    completion<item> waiter;  // the frame of the consumer, perhaps: not to be freed with the mutex
    const std::lock_guard lock(mutex_);
    over_ = true;
    std::swap(waiter, waiter_);
}

void map_run::cancel() noexcept {
    if (fork_shield::in_child()) return;  // before any mutex: a thread that is no more may hold it
    std::map<std::shared_ptr<switchboard>, std::vector<call_ptr>> open;
    std::vector<std::shared_ptr<hedge>> hedged;
    std::deque<refused> forgotten;
    completion<item> woken;
    {
        const std::lock_guard lock(mutex_);
        if (std::exchange(over_, true)) return;
        for (auto& c : calls_) {
            if (!c.is_there) continue;
            if (auto attempts = c.call.attempts.lock()) hedged.push_back(std::move(attempts));
            else if (auto live = c.call.what.lock()) open[c.call.board].push_back(std::move(live));
        }
        forgotten.swap(refused_);
        woken = std::move(waiter_);
    }
    for (auto& [board, calls] : open) board->give_up(std::move(calls), errc::cancelled);
    for (const auto& attempts : hedged) attempts->give_up();
    if (woken) wake(shared_from_this(), std::move(woken));
}

// ---- waiting

void map_run::begin_next(std::shared_ptr<map_run> run, completion<item> done) {
    if (auto slot = done.slot(); slot.is_connected())
        slot.assign([weak = std::weak_ptr(run)](asio::cancellation_type type) {
            if (const auto live = weak.lock(); live && asks_to_stop(type)) live->cancel();
        });
    wait(std::move(run), std::move(done), false);
}

/// Completes with what is next, or waits for it.
void map_run::wait(std::shared_ptr<map_run> run, completion<item> done, bool on_its_executor) {
    item out;
    while (!run->try_next(done.executor(), out)) {
        const std::lock_guard lock(run->mutex_);
        if (run->waiter_) throw std::logic_error("map_results::next: another one waits");
        run->waiter_ = std::move(done);
        if (!run->over_ && !run->is_to_wake()) return;
        done = std::move(run->waiter_);  // it has come meanwhile
    }
    if (on_its_executor) std::move(done)(std::move(out));
    else completion<item>::post(std::move(done), std::move(out));
}

/// Behind the other calls that have ended with the one that wakes.
void map_run::wake(std::shared_ptr<map_run> run, completion<item> done) {
    const auto on = done.executor();
    asio::post(
        on, [run = std::move(run), done = std::move(done)]() mutable { wait(std::move(run), std::move(done), true); });
}

// ---- what the headers call

std::shared_ptr<map_run> begin_map(std::shared_ptr<pool_impl> impl, std::string tool, std::unique_ptr<map_source> items,
                                   map_options options) {
    return std::make_shared<map_run>(std::move(impl), std::move(tool), std::move(items), std::move(options));
}
void cancel_map(map_run& run) noexcept { run.cancel(); }
const std::string& tool_of(const map_run& run) noexcept { return run.tool(); }
asio::any_io_executor executor_of(const map_run& run) { return run.executor(); }

void begin_next(std::shared_ptr<map_run> run, completion<std::optional<mapped<value>>> done) {
    map_run::begin_next(std::move(run), std::move(done));
}

asio::awaitable<std::optional<mapped<value>>> next_of(std::shared_ptr<map_run> run) {
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
        run->cancel();
        co_return std::nullopt;
    }
    const auto on = co_await asio::this_coro::executor;
    map_run::item out;
    if (run->try_next(on, out)) co_return out;
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(map_run::item)>(
        [](auto handler, std::shared_ptr<map_run> of) {
            const auto home = of->executor();
            map_run::begin_next(std::move(of), {std::move(handler), home});
        },
        asio::use_awaitable, std::move(run));
}

}  // namespace snakepit::detail
