// snakepit status

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/pool_choice.hpp"
#include "cli/text_table.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <memory>

namespace snakepit::cli {
namespace {

std::string count_of(const value& calls, const char* which) { return grouped(calls.at(which).get<std::uint64_t>()); }

std::string words(const value& s) {
    const auto& calls = s.at("calls");
    std::vector<std::vector<std::string>> rows;
    const auto add = [&](const char* name, std::string what) { rows.push_back({name, printable(what)}); };
    const auto text = [&](const char* name) { return s.at(name).get<std::string>(); };
    add("module", text("module"));
    add("process", fmt::format("{}, for {}", s.at("pid").get<int>(), duration_text(s.at("uptime").get<double>())));
    add("version", fmt::format("{} (protocol {})", text("version"), text("protocol")));
    add("state", text("state"));
    if (!text("degraded").empty()) add("degraded", text("degraded"));
    add("workers", fmt::format("{} of {} take calls; started by {}{}", s.at("workers").at("ready").get<int>(),
                               s.at("workers").at("all").get<int>(), text("start_method"),
                               text("start_method_reason").empty() ? "" : ": " + text("start_method_reason")));
    for (const auto& g : s.at("groups"))
        if (const auto name = g.at("name").get<std::string>(); !name.empty())
            add("group", fmt::format("{}: {} of {} workers, {} in flight, {} queued{}", name,
                                     g.at("workers").at("ready").get<int>(), g.at("workers").at("all").get<int>(),
                                     count_of(g.at("calls"), "in_flight"), count_of(g.at("calls"), "queued"),
                                     g.at("degraded").get<std::string>().empty() ? "" : "; degraded"));
    add("calls", fmt::format("{} in flight, {} queued", count_of(calls, "in_flight"), count_of(calls, "queued")));
    add("ended", fmt::format("{} succeeded, {} failed, {} cancelled, {} expired; {} refused",
                             count_of(calls, "succeeded"), count_of(calls, "failed"), count_of(calls, "cancelled"),
                             count_of(calls, "expired"), count_of(calls, "refused")));
    add("sessions", grouped(s.at("sessions").get<std::uint64_t>()));
    add("log level", text("log_level"));
    if (const int port = s.at("metrics_port").get<int>(); port != 0) add("metrics", fmt::format("port {}", port));
    return joined_lines(table_lines(rows, {false, false}));
}

}  // namespace

command add_status(CLI::App& to) {
    auto choice = std::make_shared<pool_choice>();
    add_pool_choice(to, *choice);
    return [choice] { return ask_pool(*choice, {{"command", "status"}}, words); };
}

}  // namespace snakepit::cli
