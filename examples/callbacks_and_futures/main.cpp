// For programs without coroutines, or with coroutines of their own kind: the token forms of snakepit/async.hpp take any
// completion token of asio's. Here an asio::thread_pool runs everything; main() waits for futures.
#include <snakepit/async.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>
#include <chrono>
#include <future>
#include <vector>

namespace {
using namespace std::chrono_literals;

// A plain callback: called once, on its associated executor, or the pool's when it has none.
void with_callback(snakepit::pool& pool) {
    std::promise<void> called;
    snakepit::async_call<int>(
        pool, snakepit::call_options().timeout(5s),
        [&](snakepit::result<int> n) {
            if (n) fmt::print("callback: {}\n", *n);
            else fmt::print("callback: {}\n", n.error());
            called.set_value();
        },
        "square", 12);
    called.get_future().wait();
}

// Futures: as many calls at once as you like; the pool spreads them over its workers.
void with_futures(snakepit::pool& pool) {
    std::vector<std::future<snakepit::result<int>>> squares;
    for (int n = 1; n <= 100; ++n)
        squares.push_back(snakepit::async_call<int>(pool, snakepit::call_options(), asio::use_future, "square", n));
    int sum = 0;
    for (auto& square : squares)
        if (auto n = square.get()) sum += *n;
        else fmt::print("futures: {}\n", n.error());
    fmt::print("futures: the first 100 squares add up to {}\n", sum);
}

// A failure is a value here too; nothing is thrown.
void with_a_mistake(snakepit::pool& pool) {
    auto reply = snakepit::async_execute(pool, "sqare", 7, snakepit::call_options(), asio::use_future).get();
    fmt::print("mistake: {}\n", reply ? reply->dump() : reply.error().message());
}

// Cancellation: the caller's handler runs at once; Python is asked to stop.
void with_cancellation(snakepit::pool& pool, asio::thread_pool& threads) {
    auto strand = asio::make_strand(threads);  // a signal is used from one thread at a time
    asio::cancellation_signal give_up;
    std::promise<snakepit::result<snakepit::value>> ended;
    const auto begin = std::chrono::steady_clock::now();
    asio::post(strand, [&] {
        auto handler = [&](snakepit::result<snakepit::value> reply) { ended.set_value(std::move(reply)); };
        snakepit::async_execute(
            pool, "wait_for_news", snakepit::args("seconds", 20), snakepit::call_options(),
            asio::bind_executor(strand, asio::bind_cancellation_slot(give_up.slot(), std::move(handler))));
    });
    asio::post(strand, [&] { give_up.emit(asio::cancellation_type::terminal); });
    const auto reply = ended.get_future().get();
    const bool soon = std::chrono::steady_clock::now() - begin < 10s;
    fmt::print("cancelled: {}, {}\n", reply ? "no" : reply.error().code().message(), soon ? "at once" : "late");
}

// A server's own kind of coroutine: awaitable<T, strand<...>>, which cannot co_await an asio::awaitable<T>.
using strand_type = asio::strand<asio::thread_pool::executor_type>;
constexpr asio::use_awaitable_t<strand_type> use_task;

asio::awaitable<int, strand_type> cube(snakepit::pool& pool, int n) {
    const snakepit::call_options options;
    auto square = co_await snakepit::async_call<int>(pool, options, use_task, "square", n);
    co_return square ? *square* n : 0;
}

}  // namespace

int main() {
    asio::thread_pool threads(2);
    snakepit::pool pool{threads.get_executor(), {.module = "slow_tools"}};
    if (auto up = snakepit::async_start(pool, asio::use_future).get(); !up) {
        fmt::print(stderr, "{}\n", up.error());
        return 1;
    }
    with_callback(pool);
    with_futures(pool);
    with_a_mistake(pool);
    with_cancellation(pool, threads);
    const int result = asio::co_spawn(asio::make_strand(threads), cube(pool, 3), asio::use_future).get();
    fmt::print("awaitable on a strand: {}\n", result);
    const auto stopped = snakepit::async_stop(pool, asio::use_future).get();
    threads.join();
    return stopped ? 0 : 1;
}
