// Two kinds of workers behind one pool: one process with an event loop waits for forty sensors at once, two processes
// compute. The tools say where they belong. The sensors are this program's own, and slow. Run it in this directory.
#include <snakepit/pool.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <asio.hpp>
#include <chrono>
#include <cmath>
#include <set>
#include <string>

using asio::ip::tcp;

constexpr int sensors = 40;

asio::awaitable<void> measure(tcp::socket socket) {
    std::string number;
    co_await asio::async_read_until(socket, asio::dynamic_buffer(number), '\n', asio::use_awaitable);
    asio::steady_timer slow(socket.get_executor(), std::chrono::milliseconds(200));
    co_await slow.async_wait(asio::use_awaitable);
    std::string readings;
    for (int i = 0; i < 500; ++i) readings += fmt::format("{:.3f}\n", std::stoi(number) + std::sin(i / 10.0));
    co_await asio::async_write(socket, asio::buffer(readings), asio::use_awaitable);
}

asio::awaitable<void> serve(tcp::acceptor& door) {
    for (;;) {
        auto socket = co_await door.async_accept(asio::use_awaitable);
        asio::co_spawn(door.get_executor(), measure(std::move(socket)), asio::detached);
    }
}

struct summary {
    std::set<std::string> read_by;
    std::set<std::string> analysed_by;
    double mean = 0;
    int open = sensors;
};

/// One sensor, from its readings to what they mean; forty of these run beside each other.
asio::awaitable<void> follow(snakepit::pool& pool, int port, int number, summary& all) {
    const snakepit::value which = {port, number};
    const auto readings = co_await pool.execute_reply("read_sensor", which);
    if (!readings) co_return fmt::print("{}\n", readings.error());
    const snakepit::value given = snakepit::args("readings", readings->result);
    const auto found = co_await pool.execute_reply("analyse", given);
    if (!found) co_return fmt::print("{}\n", found.error());
    all.read_by.insert(readings->worker);
    all.analysed_by.insert(found->worker);
    all.mean += found->result["mean"].get<double>() / sensors;
}

asio::awaitable<void> run(snakepit::pool& pool, tcp::acceptor& door) {
    if (const auto up = co_await pool.start(); !up) co_return fmt::print(stderr, "{}\n", up.error());
    summary all;
    asio::steady_timer done(door.get_executor(), asio::steady_timer::time_point::max());
    for (int number = 0; number < sensors; ++number)
        asio::co_spawn(door.get_executor(), follow(pool, door.local_endpoint().port(), number, all),
                       [&](std::exception_ptr) {
                           if (--all.open == 0) done.cancel();
                       });
    asio::error_code cancelled;
    co_await done.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));

    fmt::print("read by {}, analysed by {}; the mean of all is {:.1f}\n", fmt::join(all.read_by, " "),
               fmt::join(all.analysed_by, " "), all.mean);
    for (const auto& group : pool.stats().groups) fmt::print("group \"{}\": {} calls\n", group.name, group.succeeded);
    co_await pool.stop();
    door.close();
}

int main() {
    asio::io_context io;
    tcp::acceptor door(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    asio::co_spawn(io, serve(door), asio::detached);
    snakepit::group_options waiting;
    waiting.name = "io";
    waiting.profile = snakepit::worker_profile::async;
    waiting.workers.min = 1;
    snakepit::pool_options options;
    options.module = "sensor_tools";
    options.workers.min = 2;
    options.groups = {waiting};
    snakepit::pool pool(io.get_executor(), options);
    asio::co_spawn(io, run(pool, door), asio::detached);
    io.run();
}
