#include "cli/top_history.hpp"

#include <algorithm>

namespace snakepit::cli {
namespace {

void keep(std::deque<double>& in, double number) {
    if (in.size() == top_history::kept) in.pop_front();
    in.push_back(number);
}

double count(const value& calls, const char* which) { return calls[which].get<double>(); }
double failures(const value& calls) { return count(calls, "failed") + count(calls, "expired"); }
double ended(const value& calls) { return count(calls, "succeeded") + count(calls, "cancelled") + failures(calls); }

}  // namespace

admin_result<void> top_history::sample(admin_client& from) {
    auto said = from.ask({{"command", "status"}});
    if (!said) return tl::unexpected(said.error());
    auto all = from.ask({{"command", "workers"}});
    if (!all) return tl::unexpected(all.error());
    const auto metrics = from.ask({{"command", "metrics"}});
    const auto now = clock::now();
    const double seconds = when_ ? std::chrono::duration<double>(now - *when_).count() : 0;
    when_ = now;
    note_calls(*said, seconds);
    note_workers((*all)["workers"], seconds);
    if (metrics) {
        auto newest = call_durations((*metrics)["metrics"].get_ref<const std::string&>());
        recent = difference(newest, durations);
        if (!quantile(recent, 0)) recent = newest;
        durations = std::move(newest);
    }
    status = std::move(*said);
    workers = std::move((*all)["workers"]);
    return {};
}

void top_history::note_calls(const value& newest, double seconds) {
    if (seconds <= 0) return;
    const double done = ended(newest["calls"]) - ended(status["calls"]);
    rate = done / seconds;
    error_rate.reset();
    if (done > 0) error_rate = (failures(newest["calls"]) - failures(status["calls"])) / done;
    keep(rates, *rate);
}

void top_history::note_workers(const value& all, double seconds) {
    for (auto& [id, w] : by_worker) w.is_there = false;
    for (const auto& one : all) {
        auto& w = by_worker[one["id"].get<std::string>()];
        const auto calls = one["total_calls"].get<std::uint64_t>();
        const int pid = one["pid"].get<int>();
        const double cpu = one["cpu"].is_null() ? 0 : one["cpu"].get<double>();
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
