#include "cli/top_view.hpp"

#include "cli/common.hpp"
#include "cli/sparkline.hpp"
#include "cli/text_table.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace snakepit::cli {
namespace {

constexpr std::size_t worker_bars = 12;

std::string or_dash(const std::optional<double>& number, std::string (*words)(double)) {
    return number ? words(*number) : "-";
}

std::string rate_text(double r) { return fmt::format("{:.{}f}", r, r < 100 ? 1 : 0); }
std::string percent_text(double part) { return fmt::format("{:.1f}%", part * 100); }
std::string processors_text(double part) { return fmt::format("{:.0f}", part * 100); }

std::vector<std::string> row_of(const value& w, const worker_history& h, bool utf8) {
    const auto running = printable(w.at("running").get<std::string>());
    const auto group = w.at("group").get<std::string>();
    return {w.at("id").get<std::string>(),
            group.empty() ? "-" : group,
            w.at("state").get<std::string>(),
            running.empty() ? "-" : running,
            running.empty() ? "-" : duration_text(w.at("running_for").get<double>()),
            duration_text(w.at("age").get<double>()),
            std::to_string(w.at("total_calls").get<std::uint64_t>()),
            std::to_string(w.at("outstanding").get<std::uint64_t>()),
            std::to_string(w.at("credit").get<std::uint64_t>()),
            bytes_text(w.at("heartbeat").at("resident_bytes").get<double>()),
            or_dash(h.processors, processors_text),
            std::to_string(w.at("restarts").get<std::uint64_t>()),
            sparkline(h.rates, worker_bars, utf8)};
}

/// Of the table that they make.
std::size_t width_of(const std::vector<std::vector<std::string>>& rows) {
    constexpr std::size_t between = 2;
    std::size_t all = 0;
    for (std::size_t column = 0; column < rows[0].size(); ++column) {
        std::size_t widest = 0;
        for (const auto& r : rows) widest = std::max(widest, columns_of(r[column]));
        all += widest + (column == 0 ? 0 : between);
    }
    return all;
}

}  // namespace

std::vector<std::string> header_lines(const top_history& of, const view_options& how) {
    const auto& s = of.status;
    const auto& calls = s.at("calls");
    std::vector<std::string> lines{
        fmt::format("snakepit {}  {}  pid {}  up {}  {}  workers {}/{}", s.at("version").get<std::string>(),
                    s.at("module").get<std::string>(), s.at("pid").get<int>(),
                    duration_text(s.at("uptime").get<double>()), s.at("state").get<std::string>(),
                    s.at("workers").at("ready").get<int>(), s.at("workers").at("all").get<int>()),
        fmt::format("calls/s {}  errors {}  queued {}  in flight {}  p50 {}  p95 {}  p99 {}",
                    or_dash(of.rate, rate_text), or_dash(of.error_rate, percent_text),
                    calls.at("queued").get<std::uint64_t>(), calls.at("in_flight").get<std::uint64_t>(),
                    or_dash(quantile(of.recent, 0.5), duration_text), or_dash(quantile(of.recent, 0.95), duration_text),
                    or_dash(quantile(of.recent, 0.99), duration_text))};
    if (const auto why = s.at("degraded").get<std::string>(); !why.empty()) lines.push_back("degraded: " + why);
    for (auto& l : lines) l = clipped(printable(l), how.columns);
    if (!of.rates.empty()) lines.push_back(sparkline(of.rates, std::min(top_history::kept, how.columns), how.utf8));
    return lines;
}

std::vector<std::string> worker_lines(const top_history& of, const view_options& how) {
    std::vector<std::vector<std::string>> rows{
        {"ID", "GROUP", "STATE", "TOOL", "FOR", "AGE", "CALLS", "OUT", "CREDIT", "MEM", "CPU%", "RESTARTS", "CALLS/S"}};
    for (const auto& w : of.workers)
        rows.push_back(row_of(w, of.by_worker.at(w.at("id").get<std::string>()), how.utf8));
    std::vector<bool> right{false, false, false, false, true, true, true, true, true, true, true, true, false};
    for (const char* const least_wanted : {"CREDIT", "OUT", "GROUP", "RESTARTS", "CPU%", "CALLS", "FOR"}) {
        if (width_of(rows) <= how.columns) break;
        const auto column = std::ranges::find(rows[0], least_wanted) - rows[0].begin();
        for (auto& r : rows) r.erase(r.begin() + column);
        right.erase(right.begin() + column);
    }
    auto lines = table_lines(rows, right);
    for (auto& l : lines) l = clipped(l, how.columns);
    return lines;
}

}  // namespace snakepit::cli
