#include "stress/chaos/session_load.hpp"

#include "stress/chaos/session_report.hpp"
#include "stress/chaos/session_user.hpp"

#include <array>
#include <asio/co_spawn.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

namespace snakepit::chaos {
namespace {

using namespace std::chrono_literals;

constexpr unsigned callers = 16;
constexpr unsigned users = 2;

request request_of(const session_script& s, dice& random) {
    constexpr std::array<std::chrono::milliseconds, 6> timeouts = {30ms, 500ms, 2'000ms, 5'000ms, 5'000ms, 10'000ms};
    request r{s.tool, 0, timeouts[random(timeouts.size())], {}};
    if (random(20) == 0) r.cancel_after = std::chrono::milliseconds(random(50));
    r.session = s.kind->key;
    r.affinity = s.affinity;
    r.session_may_end = s.kind->may_be_closed || s.kind->may_expire;
    r.following = list(mark_of(s), steps_of(s));
    return r;
}

}  // namespace

void session_load::begin(std::uint64_t seed) {
    over_ = false;
    for (unsigned i = 0; i < callers; ++i) start(caller(shared_from_this(), dice(seed * 1'000 + 500 + i)));
    for (unsigned i = 0; i < users; ++i) start(user(shared_from_this(), dice(seed * 1'000 + 600 + i)));
}

void session_load::start(asio::awaitable<void> one) {
    ++open_;
    asio::co_spawn(on_, std::move(one), [self = shared_from_this()](const std::exception_ptr& failed) {
        --self->open_;
        if (failed) std::rethrow_exception(failed);
    });
}

asio::awaitable<void> session_load::caller(std::shared_ptr<session_load> self, dice random) {
    asio::steady_timer wake(self->on_);
    asio::error_code woken;
    while (!self->over_) {
        const auto script = next_script(random, self->log_);
        wake.expires_at(clock::time_point::max());
        const load::listener then = [&](const call_record& c, const result<reply>& got) {
            self->note(script, c, got);
            wake.cancel();
        };
        self->calls_->make(request_of(script, random), then);
        co_await wake.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        wake.expires_after(std::chrono::milliseconds(random(10)));
        co_await wake.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
}

void session_load::note(const session_script& s, const call_record& c, const result<reply>& got) {
    session_call call;
    call.id = c.id;
    call.key = s.kind->key;
    call.affinity = s.affinity;
    call.begun = c.begun;
    call.ended = c.ended;
    if (got) {
        call.process = got->result.at("process").get<std::string>();
        call.ran = clock::time_point(std::chrono::nanoseconds(got->result.at("began").get<std::int64_t>()));
        call.moved = got->moved;
        add_report(s, c, got->result, log_);
    } else {
        add_unknown(s, c, log_);
    }
    log_.seen.calls.push_back(std::move(call));
}

asio::awaitable<void> session_load::user(std::shared_ptr<session_load> self, dice random) {
    asio::steady_timer pause(self->on_);
    while (!self->over_) {
        const auto kinds = session_kinds();
        const auto& kind = kinds[random(static_cast<unsigned>(kinds.size()))];
        const auto one = std::make_shared<session_user>(kind, self->pool_.session(std::string(kind.key)), self->log_);
        co_await session_user::arrive(one);
        for (auto left = random.between(1, 10); left > 0 && one->goes_on() && !self->over_; --left) {
            co_await session_user::do_something(one, random);
            if (random(3) != 0) continue;
            pause.expires_after(std::chrono::milliseconds(random(10)));
            co_await pause.async_wait(asio::use_awaitable);
        }
        pause.expires_after(std::chrono::milliseconds(random(6)));
        co_await pause.async_wait(asio::use_awaitable);
    }
}

asio::awaitable<void> session_load::look_at_all(std::shared_ptr<session_load> self) {
    for (const auto& kind : session_kinds()) {
        const auto one = std::make_shared<session_user>(kind, self->pool_.session(std::string(kind.key)), self->log_);
        co_await session_user::arrive(one);
        for (const auto name : session_variables()) co_await session_user::get(one, std::string(name));
    }
}

}  // namespace snakepit::chaos
