// What it costs an echo that everything is on: traces of every tenth call by OTLP, metrics that are scraped, and a log.
// Two pools beside each other, one of them silent, measured in pairs one after the other: what the machine does
// meanwhile meets both.

#include "measured_pool.hpp"
#include "perf_report.hpp"
#include "telemetry/otlp_sink.hpp"

#include <snakepit/pool.hpp>

#include <string>
#include <vector>

namespace {

using namespace snakepit;
using namespace std::chrono_literals;

constexpr int pairs = 30;
constexpr int callers = 32;
constexpr auto stretch = 500ms;

/// Microseconds per call.
double time_of(perf::measured_pool& p, const value& message) {
    auto& pool = p.it();
    const auto m = p.measure(callers, stretch, message, [&](int) { return pool.execute("echo", message); });
    if (m.wrong != 0) throw std::runtime_error("wrong replies");
    return 1e6 / m.calls_per_second;
}

void run() {
    perf::otlp_sink receiver;
    auto loud = perf::options_for("profile_tools", 1);
    loud.telemetry.otlp_endpoint = receiver.address();
    loud.telemetry.sample_ratio = 0.1;
    loud.telemetry.metrics_interval = 1s;
    loud.metrics_listen = "127.0.0.1:0";
    loud.log.level = log_level::info;
    loud.log.sink = [](const log_record&) {};
    loud.slow_call_threshold = 1s;
    auto silent = perf::options_for("profile_tools", 1);
    silent.log.level = log_level::off;
    silent.metrics = false;
    perf::measured_pool with(loud);
    perf::measured_pool without(silent);
    const value message = std::string(100, 'x');
    (void)time_of(with, message);
    (void)time_of(without, message);

    std::vector<double> ratios;
    std::vector<double> times;
    for (int i = 0; i < pairs; ++i) {
        const bool first = i % 2 == 0;  // whoever comes first has it no better
        const double a = time_of(first ? with : without, message);
        const double b = time_of(first ? without : with, message);
        times.push_back(first ? a : b);
        ratios.push_back(first ? a / b : b / a);
    }
    perf::report report;
    report.row("telemetry.on_echo", perf::median(times), "us/call",
               "1 worker, 32 callers, all on, every tenth call traced");
    report.row("telemetry.spans", static_cast<double>(with.it().stats().spans_exported), "spans", "that left by OTLP");
    report.at_most(1.05, "telemetry.on_ratio", perf::median(ratios), "ratio",
                   "to a pool that is silent, median of 30 pairs");
}

}  // namespace

int main() { return snakepit::perf::run_suite("telemetry", run); }
