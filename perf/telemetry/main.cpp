// What it costs an echo that everything is on: traces of every tenth call by OTLP, metrics that are scraped, and a log.
// Two pools beside each other, one of them silent, measured in turn: what the machine does meanwhile meets both. Each
// pair is a new one: two pools of the same options may differ while they live. The host keeps to one processor, with
// all that telemetry does there, and the workers to another.

#include "measured_pool.hpp"
#include "perf_report.hpp"
#include "telemetry/cores.hpp"
#include "telemetry/otlp_sink.hpp"

#include <snakepit/pool.hpp>

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace snakepit;
using namespace std::chrono_literals;

constexpr int pairs = 80;
constexpr auto stretch = 200ms;  // as long as telemetry waits for more: what is made in one leaves in one
constexpr auto run_up = 300ms;   // longer than that: from here on it sends as much as it makes

/// Microseconds per call.
double time_of(perf::measured_pool& p, const value& message, int callers, std::chrono::milliseconds how_long) {
    auto& pool = p.it();
    const auto m = p.measure(callers, how_long, message, [&](int) { return pool.execute("echo", message); });
    if (m.wrong != 0) throw std::runtime_error("wrong replies");
    return 1e6 / m.calls_per_second;
}

struct compared {
    std::vector<double> times;  ///< of an echo with everything on, microseconds; one of each pair
    std::vector<double> ratios;

    /// The one, the other twice, and the one again: a machine that gets faster or slower meanwhile does so for both.
    void add(perf::measured_pool& with, perf::measured_pool& without, const value& message, int callers,
             bool silent_first) {
        double on = 0;
        double off = 0;
        for (const bool silent : {silent_first, !silent_first, !silent_first, silent_first}) {
            auto& pool = silent ? without : with;
            (void)time_of(pool, message, callers, run_up);
            (silent ? off : on) += time_of(pool, message, callers, stretch);
        }
        times.push_back(on / 2);
        ratios.push_back(on / off);
    }
};

void run() {
    const auto cores = perf::usable_cores();
    if (cores.size() > 1) perf::keep_to(cores[0], ::getpid());
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

    const value message = std::string(100, 'x');
    compared alone;
    compared busy;
    std::uint64_t spans = 0;
    for (int i = 0; i < pairs; ++i) {
        std::unique_ptr<perf::measured_pool> with;
        std::unique_ptr<perf::measured_pool> without;
        const bool silent_first = i / 2 % 2 == 0;
        for (const bool second : {false, true}) {
            auto& made = (i % 2 == 0) == second ? with : without;
            made = std::make_unique<perf::measured_pool>(&made == &with ? loud : silent);
            if (cores.size() > 1) perf::keep_to(cores[1], made->it().stats().workers.front().pid);
        }
        for (const bool second : {false, true})
            (void)time_of(second == silent_first ? *with : *without, message, 32, 100ms);
        alone.add(*with, *without, message, 1, silent_first);
        if (i % 2 == 0) busy.add(*with, *without, message, 32, silent_first);
        spans += with->it().stats().spans_exported;
    }
    perf::report report;
    report.row("telemetry.on_echo", perf::median(alone.times), "us/call", "1 worker, all on, every tenth call traced");
    report.at_most(1.05, "telemetry.on_ratio", perf::median(alone.ratios), "ratio",
                   "to a pool that is silent, median of 80 pairs");
    report.row("telemetry.on_echo_busy", perf::median(busy.times), "us/call", "the same with 32 callers");
    report.at_most(1.25, "telemetry.on_ratio_busy", perf::median(busy.ratios), "ratio",
                   "likewise: both cores are at work");
    report.row("telemetry.spans", static_cast<double>(spans), "spans", "that left by OTLP");
}

}  // namespace

int main() { return snakepit::perf::run_suite("telemetry", run); }
