#include "stress/chaos/load.hpp"

#include "stress/chaos/priorities.hpp"
#include "support/surroundings.hpp"

#include <snakepit/async.hpp>

#include <array>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

namespace snakepit::chaos {
namespace {

using namespace std::chrono_literals;

struct habit {
    std::string_view tool;
    unsigned weight;
    unsigned least;  // of the amount
    unsigned most;
};
constexpr std::array habits = {
    habit{"echo", 60, 0, 200},
    habit{"echo", 5, 1'000, 100'000},
    habit{"echo", 3, 140'000, 1'000'000},  // more than 128 KiB: in pieces
    habit{"work", 20, 0, 20},
    habit{"look_up", 10, 0, 20},
    habit{"crunch", 10, 1, 10},
    habit{"fail", 2, 0, 0},
    habit{"nap", 10, 0, 20},
    habit{"hurry", 30, 0, 0},
    habit{"hurry", 1, 50, 200},  // and so the calls behind it are taken back
    habit{"together", 20, 0, 20},
    habit{"together_later", 10, 0, 20},
};

struct patience {
    unsigned weight;
    std::chrono::milliseconds least;
    std::chrono::milliseconds most;
};
constexpr std::array patiences = {
    patience{10, 0ms, 0ms},  // no deadline
    patience{15, 5ms, 100ms},
    patience{50, 500ms, 2'000ms},
    patience{25, 5'000ms, 10'000ms},
};

struct crowd {
    unsigned weight;
    unsigned least;
    unsigned most;
};
constexpr std::array crowds = {crowd{70, 1, 1}, crowd{25, 2, 8}, crowd{5, 30, 60}};  // calls at once

std::chrono::milliseconds between(dice& random, std::chrono::milliseconds least, std::chrono::milliseconds most) {
    return least + std::chrono::milliseconds(random(static_cast<unsigned>((most - least).count()) + 1));
}

request next_request(dice& random) {
    const auto& what = habits[random.weighted(habits)];
    const auto& how_long = patiences[random.weighted(patiences)];
    request r{what.tool, random.between(what.least, what.most), between(random, how_long.least, how_long.most), {}};
    if (random(20) == 0) r.cancel_after = between(random, 0ms, 50ms);
    r.priority = priority_of(random);
    return r;
}

/// Their calls have one argument.
bool is_batch(std::string_view tool) { return tool.starts_with("together"); }

/// Every call has its own, as text or as bytes.
value payload_of(std::uint64_t id, unsigned size) {
    auto text = std::to_string(id);
    text.resize(size, static_cast<char>('a' + id % 26));
    if (id % 2 == 0) return text;
    return bytes({text.begin(), text.end()});
}

/// A call's own cancellation, after a time.
struct cancellation {
    explicit cancellation(const strand& on) : timer(on) {}
    asio::cancellation_signal signal;
    asio::steady_timer timer;
};

}  // namespace

void load::begin(std::uint64_t seed, unsigned callers) {
    over_ = false;
    for (unsigned i = 0; i < callers; ++i)
        asio::co_spawn(on_, caller(shared_from_this(), dice(seed * 1'000 + i)), [](const std::exception_ptr& failed) {
            if (failed) std::rethrow_exception(failed);
        });
}

asio::awaitable<void> load::caller(std::shared_ptr<load> self, dice random) {
    asio::steady_timer wake(self->on_);
    asio::error_code woken;
    while (!self->over_) {
        const auto& many = crowds[random.weighted(crowds)];
        auto waiting = random.between(many.least, many.most);
        const listener then = [&](const call_record&, const result<reply>&) {
            if (--waiting == 0) wake.cancel();
        };
        wake.expires_at(clock::time_point::max());
        for (auto i = waiting; i > 0; --i) self->make(next_request(random), then);
        co_await wake.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        wake.expires_after(between(random, 0ms, 20ms));
        co_await wake.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
}

void load::make(const request& r, listener then) {
    auto& c = log_->add(r.tool, r.timeout * test::slow);
    c.may_run_again = r.tool == "look_up" || r.tool == "look_at_session";
    c.has_large_reply = (r.tool == "echo" && r.amount > 4'000) || !r.session.empty();
    c.session_may_end = r.session_may_end;
    c.is_in_batch = is_batch(r.tool);
    c.may_raise = r.tool == "fail" || c.is_in_batch;

    const auto argument = r.tool == "echo" ? payload_of(c.id, r.amount) : value(r.amount);
    const auto expected = r.tool == "echo" ? argument : value(c.id);
    auto arguments = list(c.id);
    if (r.following.is_null()) arguments.push_back(argument);
    else arguments.insert(arguments.end(), r.following.begin(), r.following.end());
    if (c.is_in_batch) arguments = list(std::move(arguments));
    const auto options = call_options().timeout(c.timeout).session(r.session).affinity(r.affinity).priority(r.priority);
    auto cancel = std::make_shared<cancellation>(on_);
    auto handler = [self = shared_from_this(), &c, expected, cancel, then = std::move(then)](const result<reply>& got) {
        cancel->timer.cancel();
        self->note(c, expected, got);
        if (then) then(c, got);
    };
    async_execute_reply(
        pool_, std::string(r.tool), std::move(arguments), options,
        asio::bind_executor(on_, asio::bind_cancellation_slot(cancel->signal.slot(), std::move(handler))));
    c.given = clock::now();
    if (!r.cancel_after) return;
    cancel->timer.expires_after(*r.cancel_after);
    cancel->timer.async_wait([&c, cancel](const asio::error_code& woken) {
        if (woken || c.ends > 0) return;
        c.cancelled_at = clock::now();
        cancel->signal.emit(asio::cancellation_type::terminal);
    });
}

void load::note(call_record& c, const value& expected, const result<reply>& outcome) {
    if (!outcome) return log_->has_failed(c, outcome.error());
    const auto& v = outcome->result;
    log_->has_value(c, c.tool == "where" || (v.is_object() ? v.at("call") : v) == expected);
}

}  // namespace snakepit::chaos
