// Thousands of texts through a Python tool that takes them in batches: in order, and one that cannot be scored does not
// disturb the others. Run it in this directory.
#include <snakepit/pool.hpp>

#include <fmt/format.h>
#include <asio.hpp>
#include <cstdio>
#include <ranges>
#include <string>
#include <vector>

using namespace std::string_literals;

/// Made when it is wanted: nobody ever holds all of them.
std::string text_of(int number) {
    const std::vector kinds{"a cat sat"s, "all is well"s, ""s, "quite remarkable circumstances"s};
    if (number == 4'242) return kinds[2];
    return kinds[static_cast<std::size_t>(number % 2 == 0 ? 0 : number % 3 == 0 ? 3 : 1)];
}

asio::awaitable<void> run(snakepit::pool& pool) {
    if (auto up = co_await pool.start(); !up) co_return fmt::print(stderr, "{}\n", up.error());

    const auto texts = std::views::iota(0, 10'000) | std::views::transform(text_of);
    auto scores = pool.map<double>("score", texts, snakepit::map_options().window(256));
    int scored = 0;
    double sum = 0;
    while (auto score = co_await scores.next()) {
        if (score->outcome) {
            ++scored;
            sum += *score->outcome;
        } else {
            fmt::print("text {}: {}\n", score->index, score->outcome.error().message());
        }
    }
    fmt::print("{} texts, mean {:.3f}\n", scored, sum / scored);

    // A few at a time, in whatever order they are ready; what is not wanted any more is cancelled.
    const auto as_they_come = snakepit::map_options().window(8).ordered(false);
    auto some = pool.map<double>("score", std::views::iota(0) | std::views::transform(text_of), as_they_come);
    double longest = 0;
    while (longest < 9) {
        const auto score = co_await some.next();
        longest = std::max(longest, score->outcome.value_or(0));
    }
    fmt::print("longest {:.3f}\n", longest);
    co_await pool.stop();
}

int main() {
    asio::io_context io;
    snakepit::pool_options options;
    options.module = "score_tools";
    snakepit::pool pool(io.get_executor(), options);
    asio::co_spawn(io, run(pool), asio::detached);
    io.run();
}
