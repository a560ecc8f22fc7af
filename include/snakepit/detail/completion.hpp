#pragma once
// A completion handler of any type, as the compiled part of the library can hold it.

#include <asio/any_io_executor.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/execution/outstanding_work.hpp>
#include <asio/post.hpp>
#include <asio/prefer.hpp>
#include <memory>
#include <type_traits>
#include <utility>

namespace snakepit::detail {

/** Called once with an R, on its executor, whose context it keeps running until then. Move-only.

    asio 1.22 has no any_completion_handler. The handler is moved to the stack and its memory freed before it runs, as
    asio asks of every operation. */
template <class R>
class completion {
public:
    completion() = default;

    /// @param home  the executor of handlers that are bound to none
    template <class Handler>
    completion(Handler handler, const asio::any_io_executor& home)
        : on_(asio::prefer(as_any(asio::get_associated_executor(handler, home), home),
                           asio::execution::outstanding_work.tracked)),
          slot_(asio::get_associated_cancellation_slot(handler)),
          handler_(std::make_unique<model<Handler>>(std::move(handler))) {}

    [[nodiscard]] const asio::any_io_executor& executor() const noexcept { return on_; }
    [[nodiscard]] asio::cancellation_slot slot() const noexcept { return slot_; }
    [[nodiscard]] explicit operator bool() const noexcept { return handler_ != nullptr; }

    /// Fetches the handler into the cache.
    void prefetch() const noexcept { __builtin_prefetch(handler_.get(), 1); }

    /// Runs the handler here; the caller is on `executor()`.
    void operator()(R outcome) && {
        slot_.clear();
        const auto keep = std::exchange(on_, asio::any_io_executor());
        std::exchange(handler_, nullptr).release()->run(std::move(outcome));
    }

    /// Runs it on its executor, never before this returns.
    static void post(completion done, R outcome) {
        const auto on = done.on_;
        asio::post(on, [done = std::move(done), outcome = std::move(outcome)]() mutable {
            std::move(done)(std::move(outcome));
        });
    }

    /// A completion of another type, whose outcome `convert` turns into ours on our executor.
    template <class Other, class Convert>
    completion<Other> adapt(Convert convert) && {
        completion<Other> other;
        other.on_ = on_;
        other.slot_ = slot_;
        auto relay = [mine = std::move(*this), convert = std::move(convert)](Other outcome) mutable {
            std::move(mine)(convert(std::move(outcome)));
        };
        other.handler_ =
            std::make_unique<typename completion<Other>::template model<decltype(relay)>>(std::move(relay));
        return other;
    }

private:
    template <class>
    friend class completion;

    struct holder {
        virtual ~holder() = default;
        virtual void run(R outcome) = 0;  // frees *this first
    };
    template <class Handler>
    struct model final : holder {
        explicit model(Handler h) : handler(std::move(h)) {}
        void run(R outcome) override {
            Handler h = std::move(handler);
            delete this;
            std::move(h)(std::move(outcome));
        }
        Handler handler;
    };

    template <class Executor>
    static asio::any_io_executor as_any(const Executor& e, const asio::any_io_executor& home) {
        if constexpr (std::is_convertible_v<Executor, asio::any_io_executor>) return e;
        else return home;  // one that asio cannot erase (use_future's): its handler may run anywhere
    }

    asio::any_io_executor on_;
    asio::cancellation_slot slot_;
    std::unique_ptr<holder> handler_;
};

}  // namespace snakepit::detail
