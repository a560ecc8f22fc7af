// Variables that a running tool reads and writes: one more round trip each.

#include "echo/measured.hpp"
#include "perf_report.hpp"

#include <snakepit/pool.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace snakepit::perf {
namespace {

using namespace std::chrono_literals;

constexpr auto stretch = 400ms;
constexpr int rounds = 9;

/// A pool on an io_context of its own, run by whoever measures.
class session_pool {
public:
    session_pool() : pool_(io_.get_executor(), options()) {
        run([](session_pool& self) -> asio::awaitable<void> { self.expect(co_await self.pool_.start()); });
    }
    ~session_pool() {
        run([](session_pool& self) -> asio::awaitable<void> { (void)co_await self.pool_.stop(); });
    }
    session_pool(const session_pool&) = delete;
    session_pool& operator=(const session_pool&) = delete;

    void set(const std::string& key, const std::string& name, const value& to) {
        run([&](session_pool& self) -> asio::awaitable<void> {
            auto s = self.pool_.session(key);
            self.expect(co_await s.set(name, to));
        });
    }
    /// @param wanted  what each call has to return
    measured measure(int callers, const std::string& tool, const value& arguments, const value& wanted) {
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
                    const auto in = call_options().session("s" + std::to_string(i));
                    do {
                        const auto began = clock::now();
                        const auto reply = co_await pool_.execute(tool, arguments, in);
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
    static pool_options options() {
        const char* sources = std::getenv("SNAKEPIT_PERF_SOURCES");
        if (!sources) throw std::runtime_error("SNAKEPIT_PERF_SOURCES is not set: run ./dev perf");
        pool_options o;
        o.module = "session_tools";
        o.python_path = {sources};
        o.workers.min = 2;
        return o;
    }
    template <class R>
    void expect(const R& outcome) {
        if (!outcome) throw std::runtime_error(outcome.error().full());
    }
    void run(const std::function<asio::awaitable<void>(session_pool&)>& what) {
        std::exception_ptr failed;
        io_.restart();
        asio::co_spawn(io_, what(*this), [&](std::exception_ptr e) {
            failed = std::move(e);
            io_.stop();
        });
        io_.run();
        if (failed) std::rethrow_exception(failed);
    }

    asio::io_context io_{1};
    pool pool_;
};

void run() {
    session_pool pool;
    constexpr int many = 32;
    for (int i = 0; i < many; ++i) {
        pool.set("s" + std::to_string(i), "a", 7);
        pool.set("s" + std::to_string(i), "b", "a text");
    }
    const value payload = std::string(100, 'x');
    const value echo_arguments = value::array({payload});
    const value read_arguments = value::array({"b"});
    const value nothing = value::array();
    const value two = value::array({7, "a text"});

    std::size_t wrong = 0;
    std::vector<double> echo_us;
    std::vector<double> added;
    std::vector<double> rates;
    for (int round = 0; round < rounds; ++round) {
        const auto echo = pool.measure(1, "echo", echo_arguments, payload);
        const auto read = pool.measure(1, "read", read_arguments, "a text");
        const auto mixed = pool.measure(many, "read_two_write_one", nothing, two);
        wrong += echo.wrong + read.wrong + mixed.wrong;
        echo_us.push_back(echo.p50_us);
        added.push_back((read.p50_us - echo.p50_us) / echo.p50_us);
        rates.push_back(mixed.calls_per_second);
    }
    report to;
    to.row("session.echo_p50", median(echo_us), "us", "in a session, C=1");
    to.at_most(1.1, "session.read_over_echo_p50", median(added), "x",
               "a variable read inside of a tool, added to an echo, to the echo itself; C=1");
    to.at_least(15'000, "session.calls_per_second", median(rates), "calls/s",
                "32 callers, each call reads two variables and writes one, N=2");
    to.at_most(0, "session.wrong_values", static_cast<double>(wrong), "values", "every value is compared");
}

}  // namespace
}  // namespace snakepit::perf

int main() { return snakepit::perf::run_suite("session_calls", snakepit::perf::run); }
