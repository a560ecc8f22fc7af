// A pool under load that Prometheus can look at: calls of all kinds, errors, a crash now and then. Run it in this
// directory.
//
//   observability [SECONDS [ADDRESS]]      a minute; 127.0.0.1:9464, port 0 for any that is free; the address is
//   printed
#include <snakepit/pool.hpp>

#include <asio.hpp>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

int random_number(int from, int to) {
    static std::mt19937 engine(7);
    return std::uniform_int_distribution(from, to)(engine);
}

asio::awaitable<void> pause(std::chrono::milliseconds time) {
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(asio::use_awaitable);
}

/// One customer: a session, calls one after the other. What they come to is for the metrics to tell.
asio::awaitable<void> shop(snakepit::pool& pool, int number, clock_type::time_point until) {
    const auto session = snakepit::call_options().session("customer-" + std::to_string(number));
    const auto urgent = snakepit::call_options().priority(snakepit::priority::interactive).timeout(2s);
    while (clock_type::now() < until) {
        co_await pool.call<double>(session, "price", random_number(1, 1'000));
        co_await pool.call<int>(urgent, "search", random_number(1, 5));
        co_await pool.call<std::string>("order", random_number(1, 1'000));
        co_await pause(std::chrono::milliseconds(random_number(1, 40)));
    }
}

/// Waves of work that has time, so that there is a queue to be seen.
asio::awaitable<void> report(snakepit::pool& pool, clock_type::time_point until) {
    const auto batch = snakepit::call_options().priority(snakepit::priority::batch);
    const auto executor = co_await asio::this_coro::executor;
    const auto when_done = [](std::exception_ptr, const snakepit::result<double>&) {};
    while (clock_type::now() < until) {
        for (int i = random_number(5, 40); i > 0; --i)
            asio::co_spawn(executor, pool.call<double>(batch, "report", random_number(1, 30)), when_done);
        co_await pause(std::chrono::milliseconds(random_number(200, 1'500)));
    }
}

asio::awaitable<void> crash(snakepit::pool& pool, clock_type::time_point until) {
    while (clock_type::now() < until) {
        co_await pause(3s);
        co_await pool.execute("crash");
    }
}

asio::awaitable<void> run(snakepit::pool& pool, std::chrono::seconds time) {
    if (const auto up = co_await pool.start(); !up) co_return fmt::print(stderr, "{}\n", up.error());
    fmt::print("metrics at port {} for {} s\n", pool.stats().metrics_port, time.count());
    std::fflush(stdout);
    const auto executor = co_await asio::this_coro::executor;
    const auto until = clock_type::now() + time;
    for (int i = 0; i < 12; ++i) asio::co_spawn(executor, shop(pool, i, until), asio::detached);
    asio::co_spawn(executor, report(pool, until), asio::detached);
    asio::co_spawn(executor, crash(pool, until), asio::detached);
    co_await pause(time + 500ms);
    const auto calls = pool.stats();
    co_await pool.stop();
    fmt::print("{} calls, {} of them well\n", calls.submitted, calls.succeeded);
}

int main(int argc, char** argv) {
    asio::io_context io;
    snakepit::pool_options options;
    options.module = "shop_tools";
    options.workers = {2, 4};
    options.profile = snakepit::worker_profile::thread;
    options.threads_per_worker = 4;
    options.lifecycle.max_calls = 4'000;
    options.heartbeat.interval = 500ms;
    options.metrics_listen = argc > 2 ? argv[2] : "127.0.0.1:9464";
    snakepit::pool pool(io.get_executor(), options);
    asio::co_spawn(io, run(pool, std::chrono::seconds(argc > 1 ? std::atoi(argv[1]) : 60)), asio::detached);
    io.run();
}
