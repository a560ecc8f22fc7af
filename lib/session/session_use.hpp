#pragma once
// A call's hold on its session.

#include "session/memory_store.hpp"

#include <snakepit/session_backend.hpp>

#include <memory>
#include <mutex>
#include <utility>

namespace snakepit::detail {

/** In memory the session is held from the call's admission to its end at its worker, so that it does not expire under
    it. In a backend of the team's own it is opened when the call first asks for it.

    @par Thread safety  every member from any thread */
class session_use {
public:
    /// @param held  pinned; the store lets go of it with this
    session_use(std::shared_ptr<memory_store> store, session_id held)
        : store_(std::move(store)), id_(std::move(held)) {}
    /// @param key  of a session elsewhere
    explicit session_use(std::string key) : id_{std::move(key), 0} {}
    session_use(const session_use&) = delete;
    session_use& operator=(const session_use&) = delete;
    ~session_use() {
        if (store_) store_->unpin(id_, memory_store::clock::now());
    }

    /// Incarnation 0: not opened yet.
    [[nodiscard]] session_id id() const {
        const std::lock_guard lock(mutex_);
        return id_;
    }
    /// The first one stays.
    void opened(const session_id& id) {
        const std::lock_guard lock(mutex_);
        if (id_.incarnation == 0) id_ = id;
    }

private:
    const std::shared_ptr<memory_store> store_;
    mutable std::mutex mutex_;
    session_id id_;
};

}  // namespace snakepit::detail
