#pragma once
// The sessions of one pool, as its handles reach them.

#include "session/memory_store.hpp"
#include "session/session_use.hpp"
#include "session/watch_queue.hpp"

#include <snakepit/error.hpp>
#include <snakepit/session_backend.hpp>
#include <snakepit/session_options.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

namespace snakepit::detail {

/// Lives as long as the pool and every handle. @par Thread safety  every member from any thread
class session_host {
public:
    explicit session_host(const session_options& options);

    /// Why no operation can be done: errc::forked, pool_stopped. Nothing: it can.
    [[nodiscard]] std::optional<error> refusal() const;
    [[nodiscard]] session_backend& backend() const noexcept { return *backend_; }
    /// A call's hold on the session of this key, which is made if there is none.
    /// @return  or errc::invalid_name, too_many_sessions, pool_stopped, forked
    [[nodiscard]] result<std::shared_ptr<session_use>> hold(const std::string& key) const;
    /// Null: sessions live elsewhere.
    [[nodiscard]] const std::shared_ptr<memory_store>& memory() const noexcept { return memory_; }
    /// An operation on this key will follow.
    void expect(std::string_view key) const;
    [[nodiscard]] std::size_t max_value_bytes() const noexcept { return max_value_bytes_; }

    /// It ends with the pool, if not before.
    void add(const std::shared_ptr<watch_queue>& watch);
    /// The pool is over, and so are all watches. The first reason stays.
    void shut(const error& why);

private:
    const std::size_t max_value_bytes_;
    const std::shared_ptr<session_backend> backend_;
    const std::shared_ptr<memory_store> memory_;

    std::atomic<bool> is_shut_ = false;
    mutable std::mutex mutex_;
    std::optional<error> why_;
    std::vector<std::weak_ptr<watch_queue>> watches_;
    std::size_t prune_at_ = 16;  // watches; some have gone by then
};

}  // namespace snakepit::detail
