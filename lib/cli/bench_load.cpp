#include "cli/bench_load.hpp"

#include <algorithm>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <cmath>
#include <deque>
#include <exception>
#include <vector>

namespace snakepit::cli {
namespace {
using clock = std::chrono::steady_clock;

/// What the callers share; all are on one thread.
struct meter {
    clock::time_point end;
    std::vector<float> took{};  // seconds, without errors
    std::uint64_t errors = 0;
    std::optional<error> first_error{};
    clock::time_point last{};
};

asio::awaitable<void> make_calls(pool& on, const load& what, meter& into) {
    co_await asio::this_coro::throw_if_cancelled(false);
    do {  // once at least: when so many callers have begun the time may be over
        std::string tool = what.tool;
        value arguments = what.arguments;
        call_options options = what.options;
        const auto begun = clock::now();
        const auto outcome = co_await on.execute(std::move(tool), std::move(arguments), std::move(options));
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) co_return;
        into.last = clock::now();
        if (outcome) {
            into.took.push_back(std::chrono::duration<float>(into.last - begun).count());
            continue;
        }
        ++into.errors;
        if (!into.first_error) into.first_error = outcome.error();
        // There will not be another outcome.
        if (outcome.error() == errc::unknown_tool || outcome.error() == errc::pool_stopped) co_return;
    } while (clock::now() < into.end);
}

double part_of(std::vector<float>& took, double part) {
    const auto at = static_cast<std::ptrdiff_t>(part * static_cast<double>(took.size() - 1));
    std::nth_element(took.begin(), took.begin() + at, took.end());
    return static_cast<double>(took[static_cast<std::size_t>(at)]);
}

}  // namespace

asio::awaitable<std::optional<load_outcome>> run_load(pool& on, load what) {
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto executor = co_await asio::this_coro::executor;
    const auto begun = clock::now();
    meter seen{begun + what.time};
    asio::steady_timer over(executor, clock::time_point::max());
    std::deque<asio::cancellation_signal> stops(static_cast<std::size_t>(what.concurrency));
    std::exception_ptr thrown;
    auto left = what.concurrency;
    for (auto& stop : stops)
        asio::co_spawn(executor, make_calls(on, what, seen),
                       asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr failed) {
                           if (failed) thrown = failed;
                           if (--left == 0) over.cancel();
                       }));
    asio::error_code woken;
    if (left > 0) co_await over.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    const bool is_cancelled = left > 0;
    if (is_cancelled) {  // the callers use what is here, so they end first
        for (auto& stop : stops) stop.emit(asio::cancellation_type::terminal);
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        over.expires_at(clock::time_point::max());
        if (left > 0) co_await over.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
    if (thrown) std::rethrow_exception(thrown);
    if (is_cancelled) co_return std::nullopt;
    load_outcome outcome{what.concurrency, seen.took.size() + seen.errors, seen.errors, seen.first_error};
    if (!seen.took.empty()) {
        outcome.per_second =
            static_cast<double>(seen.took.size()) / std::chrono::duration<double>(seen.last - begun).count();
        outcome.p50 = part_of(seen.took, 0.5);
        outcome.p99 = part_of(seen.took, 0.99);
        outcome.longest = static_cast<double>(*std::ranges::max_element(seen.took));
    }
    co_return outcome;
}

}  // namespace snakepit::cli
