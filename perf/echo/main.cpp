// A 100-byte echo through the pool, against unary gRPC to a C++ and to Python servers, alternating in one run.

#include "echo/measured.hpp"
#include "echo/unary.hpp"
#include "perf_report.hpp"

#include <snakepit/pool.hpp>

#include <unistd.h>
#include <array>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>

namespace snakepit::perf {
namespace {

using namespace std::chrono_literals;

constexpr std::array callers = {1, 8, 32, 128};
constexpr int rounds = 7;
constexpr auto stretch = 400ms;
const std::string payload(100, 'x');

/// A pool with its own io_context, run by whoever measures.
class pool_echo {
public:
    pool_echo(int workers, lane_kind lane) : pool_(io_.get_executor(), options(workers, lane)) {
        result<void> up;
        await([](snakepit::pool& p) { return p.start(); }, up);
        if (!up) {
            fmt::print(stderr, "{}\n", up.error());
            std::exit(1);
        }
    }
    ~pool_echo() {
        result<void> down;
        await([](snakepit::pool& p) { return p.stop(); }, down);
    }
    pool_echo(const pool_echo&) = delete;
    pool_echo& operator=(const pool_echo&) = delete;

    measured run(int count) {
        io_.restart();
        int running = count;
        std::size_t wrong = 0;
        std::vector<float> latencies;
        latencies.reserve(1 << 18);
        const auto start = clock::now();
        for (int i = 0; i < count; ++i)
            asio::co_spawn(
                io_,
                [&]() -> asio::awaitable<void> {
                    const value sent = payload;
                    do {
                        const auto began = clock::now();
                        const auto reply = co_await pool_.execute("echo", sent);
                        latencies.push_back(microseconds_since(began));
                        if (!reply || *reply != sent) ++wrong;
                    } while (clock::now() < start + stretch);
                    if (--running == 0) io_.stop();
                },
                asio::detached);
        io_.run();
        return measured::of(std::move(latencies), wrong, clock::now() - start);
    }

private:
    static pool_options options(int workers, lane_kind lane) {
        pool_options o;
        o.module = "echo_tools";
        o.python_path = {std::string(std::getenv("SNAKEPIT_PERF_SOURCES")) + "/echo"};
        o.workers.min = workers;
        o.lane = lane;
        return o;
    }
    template <class F, class R>
    void await(F operation, R& outcome) {
        io_.restart();
        asio::co_spawn(
            io_,
            [&]() -> asio::awaitable<void> {
                outcome = co_await operation(pool_);
                io_.stop();
            },
            asio::detached);
        io_.run();
    }

    asio::io_context io_{1};
    snakepit::pool pool_;
};

struct series {
    std::string name;
    std::vector<int> callers;
    std::function<measured(int)> run;
    std::map<int, std::vector<measured>> seen;
};

double typical(const series& s, int count, double measured::* figure) {
    std::vector<double> all;
    for (const auto& m : s.seen.at(count)) all.push_back(m.*figure);
    return median(std::move(all));
}

/// The median of the ratios within each round.
double ratio(const series& a, const std::vector<const series*>& best_of, int count, double measured::* figure) {
    std::vector<double> all;
    for (std::size_t r = 0; r < a.seen.at(count).size(); ++r) {
        double other = 0;
        for (const auto* b : best_of) other = std::max(other, b->seen.at(count)[r].*figure);
        all.push_back(a.seen.at(count)[r].*figure / other);
    }
    return median(std::move(all));
}

int compare(const std::string& self) {
    namespace fs = std::filesystem;
    auto dir = (fs::temp_directory_path() / "snakepit-perf-XXXXXX").string();
    if (!::mkdtemp(dir.data())) return 1;
    const auto script = std::string(std::getenv("SNAKEPIT_PERF_SOURCES")) + "/echo/unary_servers.py";
    const char* python = std::getenv("SNAKEPIT_PERF_PYTHON");
    std::size_t wrong = 0;
    {
        const server_process cpp({self, "serve", dir + "/cpp"});
        const server_process aio({python, script, "aio", dir + "/aio"});
        const server_process sync({python, script, "sync", dir + "/sync"});
        unary_client to_cpp(dir + "/cpp");
        unary_client to_aio(dir + "/aio");
        unary_client to_sync(dir + "/sync");
        pool_echo one(1, lane_kind::automatic);
        pool_echo two(2, lane_kind::automatic);
        pool_echo fall_back(1, lane_kind::iterator);

        const std::vector<int> all(callers.begin(), callers.end());
        series unary_cpp{"unary_cpp", all, [&](int c) { return to_cpp.run(c, stretch, payload); }, {}};
        series unary_raw{"unary_cpp_on_grpc_threads",
                         all,
                         [&](int c) { return to_cpp.run_on_grpc_threads(c, stretch, payload); },
                         {}};
        series unary_aio{"unary_python_aio", all, [&](int c) { return to_aio.run(c, stretch, payload); }, {}};
        series unary_sync{"unary_python_sync", all, [&](int c) { return to_sync.run(c, stretch, payload); }, {}};
        series pool_one{"pool_n1", all, [&](int c) { return one.run(c); }, {}};
        series pool_two{"pool_n2", all, [&](int c) { return two.run(c); }, {}};
        series pool_fall_back{"pool_n1_iterator", {1}, [&](int c) { return fall_back.run(c); }, {}};
        const std::vector<series*> everything = {&pool_two,  &unary_cpp,  &pool_one,      &unary_raw,
                                                 &unary_aio, &unary_sync, &pool_fall_back};
        for (int round = 0; round < rounds; ++round)
            for (const int c : callers)
                for (auto* s : everything) {
                    if (std::find(s->callers.begin(), s->callers.end(), c) == s->callers.end()) continue;
                    auto m = s->run(c);
                    wrong += m.wrong;
                    s->seen[c].push_back(m);
                }

        report to;
        for (const auto* s : everything)
            for (const int c : s->callers) {
                const auto name = fmt::format("echo.{}.c{}", s->name, c);
                to.row(name + ".calls", typical(*s, c, &measured::calls_per_second), "calls/s");
                to.row(name + ".p50", typical(*s, c, &measured::p50_us), "us");
                to.row(name + ".p99", typical(*s, c, &measured::p99_us), "us");
            }
        const auto rate = &measured::calls_per_second;
        const auto p50 = &measured::p50_us;
        to.at_least(1.75, "echo.c32_vs_unary_cpp", ratio(pool_two, {&unary_cpp}, 32, rate), "x",
                    "unary C++ to C++, C=32");
        to.at_least(3.5, "echo.c128_vs_unary_cpp", ratio(pool_two, {&unary_cpp}, 128, rate), "x",
                    "unary C++ to C++, C=128");
        to.at_least(10, "echo.c32_vs_unary_python", ratio(pool_two, {&unary_aio, &unary_sync}, 32, rate), "x",
                    "unary C++ to the better of Python's grpc.aio and grpc.server, C=32");
        to.at_most(1.3, "echo.c1_p50_vs_unary_cpp", ratio(pool_two, {&unary_cpp}, 1, p50), "x",
                   "unary C++ to C++, C=1");
        to.at_most(2, "echo.c1_p50_vs_unary_cpp.iterator", ratio(pool_fall_back, {&unary_cpp}, 1, p50), "x",
                   "unary C++ to C++, C=1; the fall-back lane");
        to.at_most(0, "echo.wrong_replies", static_cast<double>(wrong), "replies", "every reply is compared");
    }
    fs::remove_all(dir);
    return 0;
}

}  // namespace
}  // namespace snakepit::perf

int main(int argc, char** argv) {
    if (argc == 3 && std::string(argv[1]) == "serve") {
        snakepit::perf::serve_unary(argv[2]);
        return 0;
    }
    return snakepit::perf::compare(argv[0]);
}
