// Python computes, and asks C++ for rows of an SQLite database meanwhile. Run it in this directory.
#include <snakepit/pool.hpp>

#include <sqlite3.h>
#include <asio.hpp>
#include <memory>
#include <string>
#include <vector>

using snakepit::error;
using snakepit::result;

struct order {
    std::string item;
    int cents = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(order, item, cents)

/// A shop's orders. One thread at a time: it belongs to the io_context.
class database {
public:
    database() {
        sqlite3* opened = nullptr;
        ::sqlite3_open(":memory:", &opened);
        db_.reset(opened);
        ::sqlite3_exec(db_.get(),
                       "CREATE TABLE orders (customer TEXT, item TEXT, cents INTEGER);"
                       "INSERT INTO orders VALUES ('Ada','loom',12000), ('Ada','cards',250), ('Ada','ink',480),"
                       " ('Grace','moth',1), ('Grace','tape',1999)",
                       nullptr, nullptr, nullptr);
    }
    std::vector<std::string> customers() {
        std::vector<std::string> names;
        for (const auto rows = prepare("SELECT DISTINCT customer FROM orders ORDER BY customer", ""); next(rows);)
            names.push_back(text(rows, 0));
        return names;
    }
    result<std::vector<order>> orders_of(const std::string& customer) {
        std::vector<order> found;
        const auto rows = prepare("SELECT item, cents FROM orders WHERE customer = ?", customer);
        while (next(rows)) found.push_back({text(rows, 0), ::sqlite3_column_int(rows.get(), 1)});
        if (found.empty()) return tl::unexpected(error(snakepit::errc::host_tool_failed, "no customer " + customer));
        return found;
    }

private:
    struct close {
        void operator()(sqlite3* db) const { ::sqlite3_close(db); }
        void operator()(sqlite3_stmt* rows) const { ::sqlite3_finalize(rows); }
    };
    using statement = std::unique_ptr<sqlite3_stmt, close>;

    statement prepare(const char* sql, const std::string& parameter) {
        sqlite3_stmt* made = nullptr;
        ::sqlite3_prepare_v2(db_.get(), sql, -1, &made, nullptr);
        if (!parameter.empty()) ::sqlite3_bind_text(made, 1, parameter.c_str(), -1, SQLITE_TRANSIENT);
        return statement(made);
    }
    static bool next(const statement& rows) { return ::sqlite3_step(rows.get()) == SQLITE_ROW; }
    static std::string text(const statement& rows, int column) {
        return reinterpret_cast<const char*>(::sqlite3_column_text(rows.get(), column));
    }

    std::unique_ptr<sqlite3, close> db_;
};

/// What Python may call.
void offer(snakepit::pool& pool, database& shop) {
    auto tools = pool.host_tools();
    const auto first = tools.add("customers", [&shop] { return shop.customers(); });
    const auto second = tools.add("orders_of", [&shop](std::string customer) { return shop.orders_of(customer); },
                                  {.parameters = {"customer"}, .doc = "The orders of one customer."});
    if (!first || !second) fmt::print(stderr, "{}\n", first ? second.error() : first.error());
}

asio::awaitable<void> run(snakepit::pool& pool) {
    if (const auto up = co_await pool.start(); !up) co_return fmt::print(stderr, "{}\n", up.error());
    const auto lines = co_await pool.call<std::vector<std::string>>("report");
    if (!lines) fmt::print("{}\n", lines.error());
    else
        for (const auto& line : *lines) fmt::print("{}\n", line);
    co_await pool.stop();
}

int main() {
    asio::io_context io;
    database shop;
    snakepit::pool pool{io.get_executor(), {.module = "report_tools"}};
    offer(pool, shop);
    asio::co_spawn(io, run(pool), asio::detached);
    io.run();
}
