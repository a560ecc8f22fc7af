#pragma once
// Which call a host tool works for: known to whatever runs on the tool's executor.

#include "pool/call.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/execution_context.hpp>
#include <asio/prefer.hpp>
#include <asio/query.hpp>
#include <asio/require.hpp>

#include <memory>
#include <utility>

namespace snakepit::detail {

class deadlock_watch;

/// The call that a host tool works for, and whose it is.
struct outer_call {
    call_ptr call;
    const deadlock_watch* pool = nullptr;  ///< of its pool, to be compared with and nothing else
};

/// The outer call of the code that runs on this thread now; null: none.
[[nodiscard]] const outer_call* current_outer_call() noexcept;

/// Sets it as long as this lives.
class call_scope {
public:
    explicit call_scope(const outer_call* of) noexcept;
    ~call_scope();
    call_scope(const call_scope&) = delete;
    call_scope& operator=(const call_scope&) = delete;

private:
    const outer_call* const before_;
};

/** An executor whose functions run within a call_scope: a coroutine that is spawned on it keeps its outer call over
   every suspension, and those that it spawns on its own executor have it too. */
class scoped_executor {
public:
    scoped_executor(asio::any_io_executor inner, std::shared_ptr<const outer_call> of)
        : inner_(std::move(inner)), of_(std::move(of)) {}

    template <class F>
    void execute(F&& f) const {
        inner_.execute([of = of_, f = std::forward<F>(f)]() mutable {
            const call_scope scope(of.get());
            std::move(f)();
        });
    }
    template <class P>
        requires asio::can_require_v<asio::any_io_executor, P>
    [[nodiscard]] scoped_executor require(const P& p) const {
        return {asio::require(inner_, p), of_};
    }
    template <class P>
        requires asio::can_prefer_v<asio::any_io_executor, P>
    [[nodiscard]] scoped_executor prefer(const P& p) const {
        return {asio::prefer(inner_, p), of_};
    }
    template <class P>
        requires asio::can_query_v<asio::any_io_executor, P>
    [[nodiscard]] decltype(auto) query(const P& p) const {
        return asio::query(inner_, p);
    }
    friend bool operator==(const scoped_executor& a, const scoped_executor& b) noexcept {
        return a.of_ == b.of_ && a.inner_ == b.inner_;
    }
    friend bool operator!=(const scoped_executor& a, const scoped_executor& b) noexcept { return !(a == b); }

private:
    asio::any_io_executor inner_;
    std::shared_ptr<const outer_call> of_;
};

}  // namespace snakepit::detail
