// A TCP server as it might have been before snakepit came: it owns its io_context and two threads, gives each
// connection a strand, and is written with awaitable<T, strand<...>>. The pool joins it; Python never runs in it.
//
//   asio_server [PORT [WORKERS]]      port 0: any free one; the port is printed
//
// One request per line, "TOOL TEXT", one line back: "ok JSON" or "error WORKER MESSAGE". Three requests are the
// server's own: "tools", "workers" (a line of JSON about each) and "stats". SIGTERM and SIGINT end it in order.
#include <snakepit/async.hpp>

#include <algorithm>
#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read_until.hpp>
#include <asio/signal_set.hpp>
#include <asio/strand.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace {
using namespace std::chrono_literals;
using asio::ip::tcp;

// The server's own dialect of asio: everything of a connection on its strand.
using strand = asio::strand<asio::io_context::executor_type>;
template <class T = void>
using task = asio::awaitable<T, strand>;
using tcp_socket = asio::basic_stream_socket<tcp, strand>;
using tcp_acceptor = asio::basic_socket_acceptor<tcp, strand>;
using timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, strand>;
constexpr asio::use_awaitable_t<strand> use_task;

constexpr std::size_t longest_line = 64 * 1024;
// Requests here take milliseconds: a worker holds few at once, so that little is lost with it.
constexpr int calls_per_worker = 4;

std::string one_line(std::string text) {
    for (char& c : text)
        if (c == '\n' || c == '\r') c = ' ';
    return text;
}

class line_server {
public:
    line_server(asio::io_context& io, snakepit::pool& pool, const tcp::endpoint& at)
        : io_(io), pool_(pool), acceptor_(asio::make_strand(io), at) {}

    [[nodiscard]] unsigned port() const { return acceptor_.local_endpoint().port(); }

    void start() { asio::co_spawn(acceptor_.get_executor(), accept(), asio::detached); }

    // No more connections and no more requests; answers that are under way still go out.
    void stop() {
        asio::post(acceptor_.get_executor(), [this] {
            acceptor_.close();
            const std::lock_guard lock(mutex_);
            for (const auto& [id, connection] : open_)
                if (auto socket = connection.lock())
                    asio::post(socket->get_executor(), [socket] {
                        asio::error_code gone;
                        socket->shutdown(tcp_socket::shutdown_receive, gone);
                    });
        });
    }

private:
    task<> accept() {
        for (unsigned id = 0; acceptor_.is_open(); ++id) {
            bool failed = false;
            try {
                auto socket =
                    std::make_shared<tcp_socket>(co_await acceptor_.async_accept(asio::make_strand(io_), use_task));
                if (!acceptor_.is_open()) co_return;  // stop() came between: it has not seen this one
                {
                    const std::lock_guard lock(mutex_);
                    open_.emplace(id, socket);
                }
                asio::co_spawn(socket->get_executor(), converse(id, socket), asio::detached);
            } catch (const asio::system_error& e) {
                failed = acceptor_.is_open();  // else it is stop()
                if (failed) fmt::print(stderr, "accept: {}\n", e.what());
            }
            if (failed) {  // out of descriptors, say: not as a busy loop
                timer pause(acceptor_.get_executor(), 100ms);
                co_await pause.async_wait(use_task);
            }
        }
    }

    task<> converse(unsigned id, std::shared_ptr<tcp_socket> socket) {
        try {
            std::string received;
            for (;;) {
                const auto length = co_await asio::async_read_until(
                    *socket, asio::dynamic_buffer(received, longest_line), '\n', use_task);
                std::string line = received.substr(0, length - 1);
                received.erase(0, length);
                const std::string reply = co_await answer(std::move(line)) + "\n";
                co_await asio::async_write(*socket, asio::buffer(reply), use_task);
            }
        } catch (const asio::system_error&) {
            // The client has gone, or the server is stopping, or the line was too long.
        }
        const std::lock_guard lock(mutex_);
        open_.erase(id);
    }

    task<std::string> answer(std::string line) {
        if (line == "tools" || line == "workers" || line == "stats") co_return "ok " + about(line).dump();

        const auto space = std::min(line.find(' '), line.size());
        const std::string tool = line.substr(0, space);
        snakepit::value text = line.substr(std::min(space + 1, line.size()));
        const auto options = snakepit::call_options().timeout(5s);

        // The token form resumes on this connection's strand, like everything else here.
        auto reply = co_await snakepit::async_execute(pool_, tool, std::move(text), options, use_task);
        if (reply) co_return "ok " + reply->dump(-1, ' ', false, snakepit::value::error_handler_t::replace);
        const auto& worker = reply.error().worker();
        co_return fmt::format("error {} {}", worker.empty() ? "-" : worker, one_line(reply.error().summary()));
    }

    [[nodiscard]] snakepit::value about(const std::string& what) const {
        auto list = snakepit::value::array();
        if (what == "tools") {
            for (const auto& tool : pool_.tools()) list.push_back(tool.name);
            return list;
        }
        const auto now = pool_.stats();
        if (what == "stats")
            return {{"submitted", now.submitted}, {"succeeded", now.succeeded}, {"failed", now.failed},
                    {"refused", now.refused},     {"queued", now.queued},       {"in_flight", now.in_flight}};
        for (const auto& worker : now.workers)
            list.push_back({{"id", worker.id},
                            {"pid", worker.pid},
                            {"state", snakepit::to_string(worker.state)},
                            {"holds", worker.outstanding},
                            {"holds_at_most", calls_per_worker},
                            {"restarts", worker.restarts},
                            {"last_exit", worker.last_exit}});
        return list;
    }

    asio::io_context& io_;
    snakepit::pool& pool_;
    tcp_acceptor acceptor_;
    std::mutex mutex_;
    std::map<unsigned, std::weak_ptr<tcp_socket>> open_;
};

task<> serve(line_server& server, snakepit::pool& pool, int& status) {
    asio::basic_signal_set<strand> signals((co_await asio::this_coro::executor), SIGTERM, SIGINT);
    if (auto up = co_await snakepit::async_start(pool, use_task); !up) {
        fmt::print(stderr, "{}\n", up.error());
        co_return;
    }
    server.start();
    fmt::print("listening on port {}\n", server.port());
    std::fflush(stdout);

    co_await signals.async_wait(use_task);
    server.stop();
    co_await snakepit::async_stop(pool, use_task);
    fmt::print("stopped\n");
    status = 0;
}

}  // namespace

int main(int argc, char** argv) try {
    const auto port = static_cast<unsigned short>(argc > 1 ? std::stoi(argv[1]) : 0);
    const int workers = argc > 2 ? std::stoi(argv[2]) : 2;

    asio::io_context io(2);
    snakepit::pool pool{io.get_executor(),
                        {.module = "text_tools", .workers = {.min = workers}, .calls_per_worker = calls_per_worker}};
    line_server server(io, pool, {asio::ip::address_v4::loopback(), port});
    int status = 1;
    asio::co_spawn(asio::make_strand(io), serve(server, pool, status), asio::detached);

    std::thread other([&] { io.run(); });
    io.run();
    other.join();
    return status;
} catch (const std::exception& e) {
    fmt::print(stderr, "asio_server: {}\n", e.what());
    return 1;
}
