// A chat whose history survives its worker's death: variables of a session live in the host. Run it in this directory.
#include <snakepit/pool.hpp>

#include <asio.hpp>
#include <csignal>

using snakepit::value;

asio::awaitable<void> say(snakepit::pool& pool, const char* who, const char* what) {
    const auto in_session = snakepit::call_options().session(who);
    const auto answer = co_await pool.call<std::string>(in_session, "say", what);
    fmt::print("{}: {}\n    {}\n", who, what, answer ? *answer : answer.error().full());
}

asio::awaitable<void> chat(snakepit::pool& pool) {
    if (const auto up = co_await pool.start(); !up) co_return fmt::print(stderr, "{}\n", up.error());
    co_await say(pool, "alice", "I like birds.");
    co_await say(pool, "bob", "I am Bob.");

    const auto process = co_await pool.call<int>("process");
    if (process) ::kill(*process, SIGKILL);
    fmt::print("(the worker is killed)\n");

    co_await say(pool, "alice", "Do you remember?");
    co_await say(pool, "bob", "And me?");

    // C++ sees the same variables, and nobody else's.
    auto alice = pool.session("alice");
    const auto history = co_await alice.get("history");
    if (history && *history)
        fmt::print("alice's history, change {}: {}\n", (*history)->version, (*history)->data.dump());
    if (const auto closed = co_await alice.close(); !closed) fmt::print("{}\n", closed.error());
    co_await say(pool, "alice", "Hello again.");
    co_await pool.stop();
}

int main() {
    asio::io_context io;
    snakepit::pool_options options;
    options.module = "chat_tools";
    options.workers.min = 1;
    snakepit::pool pool(io.get_executor(), options);
    asio::co_spawn(io, chat(pool), asio::detached);
    io.run();
}
