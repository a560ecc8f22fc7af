// Arrays both ways: dtype, shape, and the elements as a std::span without a copy.
#include <snakepit/pool.hpp>

#include <fmt/ranges.h>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <span>
#include <vector>

namespace {

asio::awaitable<snakepit::result<void>> show(snakepit::pool& pool) {
    if (auto up = co_await pool.start(); !up) co_return up;

    // Three samples of two measurements. The shape has to fit the number of elements.
    const std::vector<double> numbers{1, 10, 2, 20, 3, 60};
    auto samples = snakepit::array::of(std::span<const double>(numbers), {3, 2});
    if (!samples) co_return tl::unexpected(samples.error());

    auto standard = co_await pool.call<snakepit::array>("standardise", *samples);
    if (!standard) co_return tl::unexpected(standard.error());
    auto elements = standard->view<double>();  // errc::type_mismatch if Python had sent another dtype
    if (!elements) co_return tl::unexpected(elements.error());
    fmt::print("standardise: dtype {}, shape {}\n", standard->dtype(), standard->shape());
    const auto columns = standard->shape()[1];
    for (std::size_t row = 0; row < standard->shape()[0]; ++row)
        fmt::print("  {:+.3f}\n", fmt::join(elements->subspan(row * columns, columns), "  "));

    // A map with arrays inside: nlohmann's `get` takes each out.
    auto reply = co_await pool.execute("histogram", snakepit::args("samples", *samples, "bins", 3));
    if (!reply) co_return tl::unexpected(reply.error());
    const auto counts = reply->at("counts").get<snakepit::array>();
    const auto edges = reply->at("edges").get<snakepit::array>();
    fmt::print("histogram: counts {} {}, edges {} {}\n", counts.dtype(), counts.shape(), edges.dtype(), edges.shape());
    auto n = counts.view<std::int64_t>();
    if (!n) co_return tl::unexpected(n.error());
    fmt::print("  {}\n", fmt::join(*n, "  "));
    co_return snakepit::result<void>();
}

asio::awaitable<void> run(snakepit::pool& pool, int& status) {
    if (auto done = co_await show(pool)) status = 0;
    else fmt::print(stderr, "{}\n", done.error());
    co_await pool.stop();
}

}  // namespace

int main() {
    int status = 1;
    asio::io_context io;
    snakepit::pool pool{io.get_executor(), {.module = "matrix_tools", .workers = {.min = 1}}};
    asio::co_spawn(io, run(pool, status), asio::detached);
    io.run();
    return status;
}
