// snakepit workers

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/pool_choice.hpp"
#include "cli/text_table.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <memory>

namespace snakepit::cli {
namespace {

std::vector<std::string> row_of(const value& w) {
    const auto running = w.at("running").get<std::string>();
    std::uint64_t recycles = 0;
    for (const auto& [reason, times] : w.at("recycles").items()) recycles += times.get<std::uint64_t>();
    return {w.at("id").get<std::string>(),
            w.at("group").get<std::string>().empty() ? "-" : w.at("group").get<std::string>(),
            w.at("state").get<std::string>(),
            std::to_string(w.at("pid").get<int>()),
            duration_text(w.at("age").get<double>()),
            std::to_string(w.at("total_calls").get<std::uint64_t>()),
            std::to_string(w.at("outstanding").get<std::uint64_t>()),
            bytes_text(w.at("heartbeat").at("resident_bytes").get<double>()),
            w.at("cpu").is_null() ? "-" : duration_text(w.at("cpu").get<double>()),
            std::to_string(w.at("restarts").get<std::uint64_t>()),
            std::to_string(recycles),
            running.empty() ? "-" : printable(running)};
}

std::string words(const value& reply) {
    std::vector<std::vector<std::string>> rows{
        {"ID", "GROUP", "STATE", "PID", "AGE", "CALLS", "OUT", "MEMORY", "CPU", "RESTARTS", "RECYCLES", "RUNS"}};
    for (const auto& w : reply.at("workers")) rows.push_back(row_of(w));
    return printable_lines(
        joined_lines(table_lines(rows, {false, false, false, true, true, true, true, true, true, true, true, false})));
}

std::string ids(const value& reply) {
    std::vector<std::string> all;
    for (const auto& w : reply.at("workers")) all.push_back(w.at("id").get<std::string>());
    return printable_lines(joined_lines(all));
}

struct workers_arguments {
    pool_choice choice;
    bool ids = false;
};

}  // namespace

command add_workers(CLI::App& to) {
    auto given = std::make_shared<workers_arguments>();
    to.footer("\nMEMORY is as of the last heartbeat. OUT are calls that were sent and have not ended.\n");
    add_pool_choice(to, given->choice);
    to.add_flag("--ids", given->ids, "print their names alone");
    return [given] { return ask_pool(given->choice, {{"command", "workers"}}, given->ids ? ids : words); };
}

}  // namespace snakepit::cli
