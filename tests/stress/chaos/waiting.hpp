#pragma once
// To do nothing for a while.

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <chrono>

namespace snakepit::chaos {

inline asio::awaitable<void> wait_until(std::chrono::steady_clock::time_point when) {
    asio::steady_timer timer(co_await asio::this_coro::executor, when);
    co_await timer.async_wait(asio::use_awaitable);
}

inline asio::awaitable<void> wait(std::chrono::milliseconds time) {
    return wait_until(std::chrono::steady_clock::now() + time);
}

}  // namespace snakepit::chaos
