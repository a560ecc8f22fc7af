// Fetches a web site with asyncio: one Python process waits for many pages at once. The site is this program's own, and
// takes a tenth of a second for each page. Run it in this directory.
#include <snakepit/pool.hpp>

#include <fmt/format.h>
#include <asio.hpp>
#include <chrono>
#include <string>
#include <vector>

using asio::ip::tcp;

constexpr int pages = 121;  // page n links to 3n + 1, 3n + 2 and 3n + 3

struct scraped {
    std::string title;
    std::vector<std::string> links;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(scraped, title, links)

std::string page_of(int number) {
    auto page = fmt::format("<title>Page {}</title>", number);
    for (int next = 3 * number + 1; next <= 3 * number + 3 && next < pages; ++next)
        page += fmt::format("<a href=\"/{}\">", next);
    return "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + page;
}

asio::awaitable<void> answer(tcp::socket socket) {
    std::string request;
    co_await asio::async_read_until(socket, asio::dynamic_buffer(request), "\r\n\r\n", asio::use_awaitable);
    asio::steady_timer slow(socket.get_executor(), std::chrono::milliseconds(100));
    co_await slow.async_wait(asio::use_awaitable);
    const auto response = page_of(std::stoi(request.substr(std::string("GET /").size())));
    co_await asio::async_write(socket, asio::buffer(response), asio::use_awaitable);
}

asio::awaitable<void> serve(tcp::acceptor& site) {
    for (;;) {
        auto socket = co_await site.async_accept(asio::use_awaitable);
        asio::co_spawn(site.get_executor(), answer(std::move(socket)), asio::detached);
    }
}

/// Follows links, each as soon as it is known.
class crawler {
public:
    crawler(snakepit::pool& pool, int port, asio::any_io_executor on)
        : pool_(pool), port_(port), done_(on, asio::steady_timer::time_point::max()) {}

    asio::awaitable<void> run() {
        follow("/0");
        asio::error_code cancelled;
        co_await done_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    }
    int count() const { return count_; }

private:
    void follow(std::string path) {
        ++open_;
        asio::co_spawn(done_.get_executor(), visit(std::move(path)), [this](std::exception_ptr) {
            if (--open_ == 0) done_.cancel();
        });
    }
    asio::awaitable<void> visit(std::string path) {
        const auto page = co_await pool_.call<scraped>("scrape", port_, path);
        if (!page) co_return fmt::print("{}: {}\n", path, page.error());
        if (++count_ == 1) fmt::print("{} links to {}\n", page->title, fmt::join(page->links, " "));
        for (const auto& link : page->links) follow(link);
    }

    snakepit::pool& pool_;
    int port_;
    asio::steady_timer done_;
    int open_ = 0;
    int count_ = 0;
};

asio::awaitable<void> run(snakepit::pool& pool, tcp::acceptor& site) {
    if (const auto up = co_await pool.start(); !up) co_return fmt::print(stderr, "{}\n", up.error());
    const auto began = std::chrono::steady_clock::now();
    crawler one(pool, site.local_endpoint().port(), site.get_executor());
    co_await one.run();
    const auto took = std::chrono::steady_clock::now() - began;
    fmt::print("{} pages; one after the other they take {:.1f} s: {}\n", one.count(), one.count() * 0.1,
               took < std::chrono::seconds(6) ? "this was faster" : "as this did");
    co_await pool.stop();
    site.close();
}

int main() {
    asio::io_context io;
    tcp::acceptor site(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    asio::co_spawn(io, serve(site), asio::detached);
    snakepit::pool_options options;
    options.module = "scrape_tools";
    options.workers.min = 1;
    options.profile = snakepit::worker_profile::async;
    snakepit::pool pool(io.get_executor(), options);
    asio::co_spawn(io, run(pool, site), asio::detached);
    io.run();
}
