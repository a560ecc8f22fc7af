#pragma once
// A session_backend of a team's own.

#include <snakepit/session_backend.hpp>

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace snakepit::test {

/// Sessions somewhere else: every operation takes a millisecond.
class slow_backend final : public session_backend {
public:
    explicit slow_backend(const session_options& options) : behind_(make_memory_backend(options)) {}

    asio::awaitable<result<session_id>> open(std::string key) override { return later(behind_->open(std::move(key))); }
    asio::awaitable<result<std::vector<stored_variable>>> read(session_id id, std::vector<std::string> names) override {
        return later(behind_->read(std::move(id), std::move(names)));
    }
    asio::awaitable<result<std::vector<std::uint64_t>>> write(session_id id,
                                                              std::vector<session_change> changes) override {
        return later(behind_->write(std::move(id), std::move(changes)));
    }
    asio::awaitable<result<std::vector<std::string>>> names(session_id id) override {
        return later(behind_->names(std::move(id)));
    }
    asio::awaitable<result<void>> expire_after(session_id id, std::chrono::milliseconds ttl) override {
        return later(behind_->expire_after(std::move(id), ttl));
    }
    asio::awaitable<result<void>> close(session_id id) override { return later(behind_->close(std::move(id))); }
    asio::awaitable<result<std::shared_ptr<void>>> watch(session_id id,
                                                         std::function<void(const session_event&)> tell) override {
        return later(behind_->watch(std::move(id), std::move(tell)));
    }

private:
    template <class T>
    static asio::awaitable<T> later(asio::awaitable<T> operation) {
        asio::steady_timer wait(co_await asio::this_coro::executor, std::chrono::milliseconds(1));
        co_await wait.async_wait(asio::use_awaitable);  // throws when it is cancelled
        co_return co_await std::move(operation);
    }
    const std::shared_ptr<session_backend> behind_;
};

}  // namespace snakepit::test
