#include "pool/completions.hpp"

#include <algorithm>
#include <asio/execution/blocking.hpp>
#include <asio/require.hpp>
#include <iterator>

namespace snakepit::detail {
namespace {

/// Runs on the executor that all of them share.
class run_batch {
public:
    explicit run_batch(std::vector<call_ptr> batch) : batch_(std::move(batch)) {}
    run_batch(run_batch&&) = default;
    run_batch& operator=(run_batch&&) = delete;
    /// Dropped unrun by the executor: a handler must not outlive its context in a call that a worker still holds.
    ~run_batch() {
        for (const auto& c : batch_)
            if (c) c->done = {};
    }

    void operator()() {
        for (std::size_t i = 0; i < batch_.size(); ++i) {
            const auto c = std::move(batch_[i]);  // its memory is free for the next call of this caller
            try {
                std::move(c->done)(std::move(c->outcome));
            } catch (...) {
                // A user's handler threw. That goes to whoever runs the context, as asio does it; the others still end.
                batch_.erase(batch_.begin(), batch_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
                deliver(std::move(batch_));
                throw;
            }
        }
    }

private:
    std::vector<call_ptr> batch_;
};

void post_batch(std::vector<call_ptr> batch) {
    const auto on = asio::require(batch.front()->done.executor(), asio::execution::blocking.never);
    on.execute(run_batch(std::move(batch)));
}

}  // namespace

void deliver(std::vector<call_ptr> batch) {
    if (batch.empty()) return;
    const auto& first = batch.front()->done.executor();
    if (std::all_of(batch.begin() + 1, batch.end(), [&](const call_ptr& c) { return c->done.executor() == first; }))
        return post_batch(std::move(batch));

    // Among many executors (a strand for each connection) the search stops early: a second wake-up costs less.
    constexpr std::ptrdiff_t looked_at = 8;
    std::vector<std::vector<call_ptr>> groups;
    for (auto& c : batch) {
        const auto end = groups.rbegin() + std::min(looked_at, std::ssize(groups));
        const auto same = std::find_if(groups.rbegin(), end, [&](const std::vector<call_ptr>& g) {
            return g.front()->done.executor() == c->done.executor();
        });
        if (same != end) same->push_back(std::move(c));
        else groups.emplace_back().push_back(std::move(c));
    }
    for (auto& g : groups) post_batch(std::move(g));
}

}  // namespace snakepit::detail
