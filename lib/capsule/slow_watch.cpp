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
constexpr auto no_stack = "(the worker has not written its stack: its process may be stopped)";
constexpr std::size_t most_told = 1'024;  // more than run at once

}  // namespace

slow_watch::slow_watch(strand on, std::chrono::milliseconds threshold, subject of)
    : threshold_(threshold), of_(std::move(of)), wake_(std::move(on)) {}

asio::awaitable<void> slow_watch::run(std::shared_ptr<slow_watch> self) {
    asio::error_code woken;
    while (!self->stopped_) {
        self->wake_.expires_after(std::clamp(self->threshold_ / 4, shortest_look, longest_look));
        co_await self->wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        if (self->stopped_) break;
        const auto slow = self->slow_ones();
        if (slow.empty()) continue;
        self->of_.dump();
        self->wake_.expires_after(dump_time);
        co_await self->wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        if (self->stopped_) break;
        auto stack = self->of_.dumped();
        if (stack.empty()) stack = no_stack;
        for (const auto& each : slow)
            if (!self->told_.contains(each.id)) self->of_.tell(each, clock::now() - each.since, stack);
    }
}

std::vector<slow_watch::at_work> slow_watch::slow_ones() const {
    auto all = of_.runs();
    const auto latest = clock::now() - threshold_ - patience;
    std::erase_if(all, [&](const at_work& each) { return each.since > latest || told_.contains(each.id); });
    return all;
}

bool slow_watch::is_first(std::uint64_t id) {
    const bool is_new = told_.insert(id).second;
    if (told_.size() > most_told) told_.erase(told_.begin());
    return is_new;
}

void slow_watch::stop() {
    stopped_ = true;
    wake_.cancel();
}

}  // namespace snakepit::detail
