#include "cli/top_history.hpp"

#include <algorithm>

namespace snakepit::cli {
namespace {

void keep(std::deque<double>& in, double number) {
    if (in.size() == top_history::kept) in.pop_front();
    in.push_back(number);
}

double count(const value& calls, const char* which) { return calls.at(which).get<double>(); }
double failures(const value& calls) { return count(calls, "failed") + count(calls, "expired"); }
double ended(const value& calls) { return count(calls, "succeeded") + count(calls, "cancelled") + failures(calls); }

}  // namespace

admin_result<void> top_history::sample(admin_client& from) {
    auto said = from.ask({{"command", "status"}});
    if (!said) return tl::unexpected(said.error());
    auto all = from.ask({{"command", "workers"}});
    if (!all) return tl::unexpected(all.error());
    const auto measured = from.ask({{"command", "metrics"}});
    // Without an answer the connection is closed, and of no use for the next sample.
    if (!measured && measured.error().from != admin_failure::source::pool) return tl::unexpected(measured.error());
    add(std::move(*said), std::move(all->at("workers")),
        measured ? std::optional(measured->at("metrics").get<std::string>()) : std::nullopt);
    return {};
}

void top_history::add(value newest, value all_workers, const std::optional<std::string>& metrics) {
    const auto now = clock::now();
    const double seconds = when_ ? std::chrono::duration<double>(now - *when_).count() : 0;
    when_ = now;
    note_calls(newest, seconds);
    note_workers(all_workers, seconds);
    if (metrics) {
        auto counted = call_durations(*metrics);
        recent = difference(counted, durations);
        durations = std::move(counted);
    }
    status = std::move(newest);
    workers = std::move(all_workers);
}

void top_history::note_calls(const value& newest, double seconds) {
    if (seconds <= 0) return;
    const double done = ended(newest.at("calls")) - ended(status.at("calls"));
    rate = done / seconds;
    error_rate.reset();
    if (done > 0) error_rate = (failures(newest.at("calls")) - failures(status.at("calls"))) / done;
    keep(rates, *rate);
}

void top_history::note_workers(const value& all, double seconds) {
    for (auto& [id, w] : by_worker) w.is_there = false;
    for (const auto& one : all) {
        auto& w = by_worker[one.at("id").get<std::string>()];
        const auto calls = one.at("total_calls").get<std::uint64_t>();
        const int pid = one.at("pid").get<int>();
        const double cpu = one.at("cpu").is_null() ? 0 : one.at("cpu").get<double>();
        w.processors.reset();
        if (w.pid != 0 && seconds > 0) {
            keep(w.rates, static_cast<double>(calls - std::min(calls, w.calls)) / seconds);
            if (pid == w.pid) w.processors = std::max(0.0, cpu - w.cpu) / seconds;
        }
        w.calls = calls;
        w.pid = pid;
        w.cpu = cpu;
        w.is_there = true;
    }
    std::erase_if(by_worker, [](const auto& w) { return !w.second.is_there; });
}

}  // namespace snakepit::cli
