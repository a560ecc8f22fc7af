// The quick start of README.md: one pool, one call. Run it in this directory, where its Python module is.
#include <snakepit/pool.hpp>

#include <asio.hpp>

asio::awaitable<void> run(snakepit::pool& pool) {
    if (auto up = co_await pool.start(); !up) co_return fmt::print(stderr, "{}\n", up.error());
    auto words = co_await pool.call<int>("count_words", "call Python and stay alive");
    fmt::print("{}\n", words ? fmt::format("{} words", *words) : words.error().full());
    co_await pool.stop();
}
int main() {
    asio::io_context io;
    snakepit::pool pool{io.get_executor(), {.module = "text_tools"}};
    asio::co_spawn(io, run(pool), asio::detached);
    io.run();
}
