#pragma once
// The store in memory, as a backend.

#include "session/memory_store.hpp"

#include <snakepit/session_backend.hpp>

#include <functional>
#include <memory>

namespace snakepit::detail {

/// Completes at once, on whatever thread awaits. Says no more than `session_backend` does.
class memory_backend final : public session_backend {
public:
    using clock = std::function<memory_store::time_point()>;

    /// @param now  asked by any thread
    explicit memory_backend(const session_options& options, clock now = memory_store::clock::now)
        : store_(std::make_shared<memory_store>(options)), now_(std::move(now)) {}

    /// What is behind it, for who needs no coroutine.
    [[nodiscard]] const std::shared_ptr<memory_store>& store() const noexcept { return store_; }

    asio::awaitable<result<session_id>> open(std::string key) override;
    asio::awaitable<result<std::vector<stored_variable>>> read(session_id id, std::vector<std::string> names) override;
    asio::awaitable<result<std::vector<std::uint64_t>>> write(session_id id,
                                                              std::vector<session_change> changes) override;
    asio::awaitable<result<std::vector<std::string>>> names(session_id id) override;
    asio::awaitable<result<void>> expire_after(session_id id, std::chrono::milliseconds ttl) override;
    asio::awaitable<result<void>> close(session_id id) override;
    asio::awaitable<result<std::shared_ptr<void>>> watch(session_id id,
                                                         std::function<void(const session_event&)> tell) override;

private:
    const std::shared_ptr<memory_store> store_;
    const clock now_;
};

}  // namespace snakepit::detail
