// Tokens of a model, printed as they come; and what happens when the reader has had enough.

#include <snakepit/pool.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>

asio::awaitable<int> run(snakepit::pool& pool) {
    if (auto up = co_await pool.start(); !up) {
        std::fprintf(stderr, "%s\n", up.error().full().c_str());
        co_return 1;
    }

    // All of them, as they come.
    auto all = co_await pool.stream("tokens", "hello");
    std::string between;
    while (auto token = co_await all.next()) {
        std::printf("%s%s", std::exchange(between, " ").c_str(), token->get<std::string>().c_str());
        std::fflush(stdout);
    }
    const auto count = co_await all.result();
    if (!count) {
        std::fprintf(stderr, "\n%s\n", count.error().full().c_str());
        co_return 1;
    }
    std::printf("\n%d tokens\n", count->get<int>());

    {
        // Three of them: when the stream goes, its generator is closed, and its `finally` runs.
        auto some = co_await pool.stream("tokens", "stop me");
        for (int i = 0; i < 3; ++i)
            if (const auto token = co_await some.next()) std::printf("%s\n", token->get<std::string>().c_str());
    }
    std::printf("... enough\n");
    const auto open = co_await pool.execute("streams_left_open");
    std::printf("streams left open in the worker: %d\n", open ? open->get<int>() : -1);

    // Both ways: what goes in comes back while more goes in.
    auto both = co_await pool.stream("capitals");
    for (const char* word : {"one", "two", "three"}) {
        if (!co_await both.send(word)) break;
        if (const auto capital = co_await both.next()) std::printf("%s\n", capital->get<std::string>().c_str());
    }
    const auto finished = co_await both.finish();
    const auto end = co_await both.result();
    std::printf("%s\n", finished && end ? "and no more" : "FAILED");

    const auto down = co_await pool.stop();
    co_return down&& open&& end ? 0 : 1;
}

int main() {
    asio::io_context io;
    snakepit::pool_options options;
    options.module = "token_tools";
    options.workers.min = 1;
    snakepit::pool pool(io.get_executor(), options);
    int code = 1;
    asio::co_spawn(io, run(pool), [&](std::exception_ptr failed, int ended_with) {
        if (failed) std::rethrow_exception(failed);
        code = ended_with;
    });
    io.run();
    return code;
}
