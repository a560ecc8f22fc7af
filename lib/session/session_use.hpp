#pragma once
// A call's hold on its session.

#include "session/memory_store.hpp"

#include <snakepit/session_backend.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
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
        if (!store_) return;
        take_back();
        store_->unpin(id_, memory_store::clock::now());
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

    /// In memory only: what the call's worker is to know, as of now. What was lent to another worker before is revoked.
    /// @param call  the call's id there
    /// @return  nothing when the session has ended
    [[nodiscard]] std::optional<lent> lend(std::span<const std::string> names, page::revocations at,
                                           std::uint64_t call) {
        const std::lock_guard lock(mutex_);
        revoke();
        lease_.at = std::move(at);
        lease_.call = call;
        return store_->lend(id_, names, lease_, memory_store::clock::now());
    }
    [[nodiscard]] const lease& lease_of_call() const noexcept { return lease_; }

    /// The call will be run again, elsewhere.
    void begin_again() {
        const std::lock_guard lock(mutex_);
        revoke();
        refused_.reset();
        is_refused_.store(false, std::memory_order_release);
    }

    /// A write for whose end the tool has not waited was refused: so is the call, whatever it returns. The first stays.
    void refuse(error why) {
        const std::lock_guard lock(mutex_);
        if (!refused_) refused_ = std::move(why);
        is_refused_.store(true, std::memory_order_release);
    }
    [[nodiscard]] std::optional<error> refused() const {
        if (!is_refused_.load(std::memory_order_acquire)) return std::nullopt;
        const std::lock_guard lock(mutex_);
        return refused_;
    }

private:
    void take_back() {
        if (lease_.at) store_->take_back(id_, lease_);
    }
    void revoke() {
        take_back();
        if (lease_.at) lease_.at->add(lease_.call);
        lease_.at.reset();
    }

    const std::shared_ptr<memory_store> store_;
    mutable std::mutex mutex_;
    session_id id_;
    lease lease_;
    std::atomic<bool> is_refused_ = false;
    std::optional<error> refused_;
};

}  // namespace snakepit::detail
