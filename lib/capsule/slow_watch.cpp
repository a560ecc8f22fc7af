#include "capsule/slow_watch.hpp"

#include "process/start_failure.hpp"

#include <algorithm>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds patience = 500ms;  // that the worker has to tell of it by itself
constexpr std::chrono::milliseconds shortest_look = 100ms;
constexpr std::chrono::milliseconds longest_look = 1s;

}  // namespace

slow_watch::slow_watch(strand on, std::chrono::milliseconds threshold, subject of)
    : threshold_(threshold), of_(std::move(of)), wake_(std::move(on)) {}

asio::awaitable<void> slow_watch::run(std::shared_ptr<slow_watch> self) {
    asio::error_code woken;
    while (!self->stopped_) {
        self->wake_.expires_after(std::clamp(self->threshold_ / 4, shortest_look, longest_look));
        co_await self->wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        if (self->stopped_) break;
        const auto at = self->of_.at();
        const auto now = clock::now();
        if (at.id != self->seen_) {
            self->seen_ = at.id;
            self->since_ = now;
        }
        if (at.id == 0 || at.id <= self->told_ || now - self->since_ < self->threshold_ + patience) continue;
        self->told_ = at.id;
        self->of_.dump();
        self->wake_.expires_after(dump_time);
        co_await self->wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        if (!self->stopped_) self->of_.tell(at, clock::now() - self->since_, self->of_.dumped());
    }
}

void slow_watch::stop() {
    stopped_ = true;
    wake_.cancel();
}

}  // namespace snakepit::detail
