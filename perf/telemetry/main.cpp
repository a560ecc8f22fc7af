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

/// Microseconds per call.
double time_of(perf::measured_pool& p, const value& message, int callers, std::chrono::milliseconds stretch) {
    auto& pool = p.it();
    const auto m = p.measure(callers, stretch, message, [&](int) { return pool.execute("echo", message); });
    if (m.wrong != 0) throw std::runtime_error("wrong replies");
    return 1e6 / m.calls_per_second;
}

struct compared {
    double time;  ///< of an echo with everything on, microseconds
    double ratio;
};

/// Medians of so many pairs.
compared compare(perf::measured_pool& with, perf::measured_pool& without, const value& message, int callers, int pairs,
                 std::chrono::milliseconds stretch) {
    std::vector<double> ratios;
    std::vector<double> times;
    for (int i = 0; i < pairs; ++i) {
        const bool first = i % 2 == 0;  // whoever comes first has it no better
        const double a = time_of(first ? with : without, message, callers, stretch);
        const double b = time_of(first ? without : with, message, callers, stretch);
        times.push_back(first ? a : b);
        ratios.push_back(first ? a / b : b / a);
    }
    return {perf::median(times), perf::median(ratios)};
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
    (void)time_of(with, message, 32, 500ms);
    (void)time_of(without, message, 32, 500ms);

    const auto busy = compare(with, without, message, 32, 30, 500ms);
    const auto alone = compare(with, without, message, 1, 150, 50ms);
    perf::report report;
    report.row("telemetry.on_echo", busy.time, "us/call", "1 worker, 32 callers, all on, every tenth call traced");
    report.row("telemetry.spans", static_cast<double>(with.it().stats().spans_exported), "spans", "that left by OTLP");
    report.at_most(1.05, "telemetry.on_ratio", busy.ratio, "ratio", "to a pool that is silent, median of 30 pairs");
    report.row("telemetry.on_echo_alone", alone.time, "us/call", "the same with one caller");
    report.row("telemetry.on_ratio_alone", alone.ratio, "ratio", "likewise, median of 150 pairs");
}

}  // namespace

int main() { return snakepit::perf::run_suite("telemetry", run); }
