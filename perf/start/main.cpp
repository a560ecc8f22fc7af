// Sixteen workers of a module that imports numpy: how long until all are ready, and what each costs in memory, forked
// and spawned, against the imports alone in the same run.

#include "perf_report.hpp"

#include <snakepit/pool.hpp>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace snakepit::perf {
namespace {

using clock = std::chrono::steady_clock;

constexpr int workers = 16;
constexpr int rounds = 7;

std::string variable(const char* name) {
    const char* text = std::getenv(name);
    if (!text) throw std::runtime_error(std::string(name) + " is not set: run ./dev perf start");
    return text;
}

double milliseconds_since(clock::time_point start) {
    return std::chrono::duration<double, std::milli>(clock::now() - start).count();
}

double median(std::vector<double> v) {
    std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
    return v[v.size() / 2];
}

/// What one process needs for what every worker has, its interpreter's own start not counted.
double imports_alone_ms() {
    const auto command = variable("SNAKEPIT_PERF_PYTHON") +
                         " -c 'import sys, time; begun = time.perf_counter();"
                         " sys.path.insert(0, sys.argv[1].rpartition(\"/\")[0]);"
                         " import numpy, grpc; from snakepit import _worker, _control, _lane, _runner;"
                         " print((time.perf_counter() - begun) * 1e3)' " +
                         variable("SNAKEPIT_PYTHON_PACKAGE");
    FILE* output = ::popen(command.c_str(), "r");
    double took = 0;
    const int read = output ? std::fscanf(output, "%lf", &took) : 0;
    if (output) ::pclose(output);
    if (read != 1) throw std::runtime_error("cannot measure the imports alone");
    return took;
}

/// Proportional set size, from /proc.
double pss_mb(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/smaps_rollup");
    for (std::string word; file >> word;)
        if (double kib = 0; word == "Pss:" && file >> kib) return kib / 1024;
    throw std::runtime_error("no Pss in smaps_rollup of a worker");
}

struct figures {
    double start_ms = 0;
    double pss_mb = 0;  // of one idle worker, in the mean
};

asio::awaitable<figures> measure(snakepit::pool& pool) {
    figures f;
    const auto begun = clock::now();
    if (const auto up = co_await pool.start(); !up) throw std::runtime_error(up.error().full());
    f.start_ms = milliseconds_since(begun);
    for (const auto& w : pool.stats().workers) f.pss_mb += pss_mb(w.pid) / workers;
    if (const auto down = co_await pool.stop(); !down) throw std::runtime_error(down.error().full());
    co_return f;
}

figures measure(start_method method) {
    asio::io_context io;
    pool_options how;
    how.module = "numpy_tools";
    how.python_path = {variable("SNAKEPIT_PERF_SOURCES") + "/start"};
    how.workers.min = workers;
    how.start_method = method;
    snakepit::pool pool(io.get_executor(), how);
    figures f;
    asio::co_spawn(io, measure(pool), [&f](const std::exception_ptr& failed, figures found) {
        if (failed) std::rethrow_exception(failed);
        f = found;
    });
    io.run();
    return f;
}

void run() {
    std::vector<double> imports, beyond, forked_ms, forked_mb, spawned_ms, spawned_mb;
    for (int round = 0; round < rounds; ++round) {
        imports.push_back(imports_alone_ms());
        const auto forked = measure(start_method::fork);
        forked_ms.push_back(forked.start_ms);
        forked_mb.push_back(forked.pss_mb);
        beyond.push_back(forked.start_ms - imports.back());
        if (round % 3 != 0) continue;  // it takes long
        const auto spawned = measure(start_method::spawn);
        spawned_ms.push_back(spawned.start_ms);
        spawned_mb.push_back(spawned.pss_mb);
    }
    report r;
    r.row("start.imports_ms", median(imports), "ms", "numpy, grpc and the package, in one process");
    r.row("start.16_ms", median(forked_ms), "ms", "start() until all are ready");
    r.at_most(250, "start.16_beyond_import_ms", median(beyond), "ms", "start.16_ms less start.imports_ms");
    r.row("start.16_spawned_ms", median(spawned_ms), "ms", "the same with start_method::spawn");
    r.at_most(8, "worker.pss_mb", median(forked_mb), "MB", "an idle worker with numpy and grpc imported");
    r.row("worker.spawned_pss_mb", median(spawned_mb), "MB", "the same with start_method::spawn");
}

}  // namespace
}  // namespace snakepit::perf

int main() { return snakepit::perf::run_suite("start", snakepit::perf::run); }
