// The program's own structs as arguments and results: one macro of nlohmann's per struct.
#include <snakepit/pool.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace shop {

struct line {
    std::string article;
    int count = 0;
    std::int64_t cents = 0;
};
struct order {
    std::string customer;
    std::vector<line> lines;
};
struct invoice {
    std::string customer;
    std::int64_t net = 0, tax = 0, total = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(line, article, count, cents)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(order, customer, lines)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(invoice, customer, net, tax, total)

}  // namespace shop

namespace {

asio::awaitable<snakepit::result<void>> show(snakepit::pool& pool) {
    if (auto up = co_await pool.start(); !up) co_return up;

    // Named first, then passed: g++ 12 destroys an aggregate temporary in a co_await expression twice.
    const shop::order order{"Zoë", {{"lamp", 2, 1'950}, {"shelf", 1, 8'999}}};
    const shop::order small{"Ada", {{"screw", 10, 7}}};
    const std::vector<shop::order> orders{small, order};

    auto bill = co_await pool.call<shop::invoice>("invoice", order, 19.0);
    if (!bill) co_return tl::unexpected(bill.error());
    fmt::print("{}: net {}, tax {}, total {}\n", bill->customer, bill->net, bill->tax, bill->total);

    auto best = co_await pool.call<shop::order>("largest", orders);
    if (!best) co_return tl::unexpected(best.error());
    fmt::print("largest: {} with {} lines, the first for {}\n", best->customer, best->lines.size(),
               best->lines.front().article);

    // A reply that does not fit the type is an error like any other.
    auto wrong = co_await pool.call<shop::invoice>("largest", orders);
    if (wrong)
        co_return tl::unexpected(snakepit::error(snakepit::errc::type_mismatch, "an order passed for an invoice"));
    fmt::print("as an invoice: {}\n", wrong.error().code().message());
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
    snakepit::pool pool{io.get_executor(), {.module = "order_tools", .workers = {.min = 1}}};
    asio::co_spawn(io, run(pool, status), asio::detached);
    io.run();
    return status;
}
