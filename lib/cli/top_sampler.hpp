#pragma once
// Asks a pool for samples without waiting for them, so that a pool that is stuck holds nobody up.

#include "cli/admin_client.hpp"
#include "cli/top_history.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace snakepit::cli {

class top_sampler {
public:
    explicit top_sampler(admin_client pool);

    /// By a new connection where the last one has ended. Nothing, while the last one is awaited.
    /// @return  or that the pool has gone for good
    [[nodiscard]] admin_result<void> begin();
    /// Takes what there is, and adds a sample when it is complete.
    void hear(top_history& into);

    [[nodiscard]] bool is_waiting() const noexcept { return is_waiting_; }
    /// Why there is no newer sample; empty: there is, or it has only just been asked for.
    [[nodiscard]] std::string trouble() const;
    /// Readable when there is something to hear; -1: there will not be.
    [[nodiscard]] int descriptor() const noexcept { return is_waiting_ ? pool_.descriptor() : -1; }

private:
    using clock = std::chrono::steady_clock;
    [[nodiscard]] admin_result<void> connect();
    void complete(top_history& into);

    admin_client pool_;
    bool is_connected_ = true;
    bool is_waiting_ = false;
    std::vector<value> replies_;  // to what is awaited, so far
    clock::time_point asked_;
    std::string why_;  // the last request has failed
};

}  // namespace snakepit::cli
