#pragma once
// A pool on an io_context of its own, run by whoever measures, and callers who each make one call after the other.

#include "echo/measured.hpp"

#include <snakepit/pool.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace snakepit::perf {

/// Throws when an operation has failed.
template <class R>
void expect(const R& outcome) {
    if (!outcome) throw std::runtime_error(outcome.error().full());
}

/// Of a module that lies beside the programs.
inline pool_options options_for(std::string module, int workers) {
    const char* sources = std::getenv("SNAKEPIT_PERF_SOURCES");
    if (!sources) throw std::runtime_error("SNAKEPIT_PERF_SOURCES is not set: run ./dev perf");
    pool_options o;
    o.module = std::move(module);
    o.python_path = {sources};
    o.workers.min = workers;
    return o;
}

class measured_pool {
public:
    explicit measured_pool(pool_options how) : pool_(io_.get_executor(), std::move(how)) {
        run([](pool& p) -> asio::awaitable<void> { expect(co_await p.start()); });
    }
    ~measured_pool() {
        run([](pool& p) -> asio::awaitable<void> { (void)co_await p.stop(); });
    }
    measured_pool(const measured_pool&) = delete;
    measured_pool& operator=(const measured_pool&) = delete;

    [[nodiscard]] pool& it() noexcept { return pool_; }
    [[nodiscard]] asio::io_context& io() noexcept { return io_; }

    /// To its end.
    void run(const std::function<asio::awaitable<void>(pool&)>& what) {
        std::exception_ptr failed;
        io_.restart();
        asio::co_spawn(io_, what(pool_), [&](std::exception_ptr e) {
            failed = std::move(e);
            io_.stop();
        });
        io_.run();
        if (failed) std::rethrow_exception(failed);
    }
    /// So many callers at once, each until the time is over.
    /// @param call    begins the call of a caller, who has a number
    /// @param wanted  what each call has to return
    template <class Call>
    measured measure(int callers, clock::duration stretch, const value& wanted, Call call) {
        std::vector<float> latencies;
        latencies.reserve(1 << 18);
        std::size_t wrong = 0;
        int running = callers;
        io_.restart();
        const auto start = clock::now();
        for (int i = 0; i < callers; ++i)
            asio::co_spawn(
                io_,
                [&, i]() -> asio::awaitable<void> {
                    do {
                        const auto began = clock::now();
                        const auto reply = co_await call(i);
                        latencies.push_back(microseconds_since(began));
                        if (!reply || *reply != wanted) ++wrong;
                    } while (clock::now() < start + stretch);
                    if (--running == 0) io_.stop();
                },
                asio::detached);
        io_.run();
        return measured::of(std::move(latencies), wrong, clock::now() - start);
    }

private:
    asio::io_context io_{1};
    pool pool_;
};

}  // namespace snakepit::perf
