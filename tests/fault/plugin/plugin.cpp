// A plugin that has a pool, as an application would load it.

#include <snakepit/pool.hpp>

#include <fmt/format.h>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>

namespace {

asio::awaitable<void> work(snakepit::pool& pool, int& sum) {
    if (auto up = co_await pool.start(); !up) co_return fmt::print(stderr, "{}\n", up.error());
    const auto reply = co_await pool.call<int>("add", 2, 3);
    if (reply) sum = *reply;
    else fmt::print(stderr, "{}\n", reply.error());
    co_await pool.stop();
}

}  // namespace

/// @return  2 + 3 by the module's tool `add`, or -1
extern "C" int add_in_python(const char* module, const char* directory) {
    asio::io_context io;
    snakepit::pool_options options;
    options.module = module;
    options.python_path = {directory};
    snakepit::pool pool(io.get_executor(), options);
    int sum = -1;
    asio::co_spawn(io, work(pool, sum), asio::detached);
    io.run();
    return sum;
}
