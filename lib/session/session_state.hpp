#pragma once
// What the copies of a session handle share.

#include "session/session_host.hpp"

#include <snakepit/session_backend.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace snakepit::detail {

/// @par Thread safety  every member from any thread
class session_state {
public:
    session_state(std::shared_ptr<session_host> at, std::string key) : host(std::move(at)), key_(std::move(key)) {
        host->expect(key_);
    }

    [[nodiscard]] const std::string& key() const noexcept { return key_; }
    /// Incarnation 0: it was not opened yet.
    [[nodiscard]] session_id id() const { return {key_, incarnation_.load(std::memory_order_acquire)}; }
    /// Once: of two first operations that opened two sessions the first to come here decides.
    void opened(const session_id& id) noexcept {
        std::uint64_t none = 0;
        incarnation_.compare_exchange_strong(none, id.incarnation, std::memory_order_acq_rel);
    }

    const std::shared_ptr<session_host> host;

private:
    const std::string key_;
    std::atomic<std::uint64_t> incarnation_ = 0;
};

}  // namespace snakepit::detail
