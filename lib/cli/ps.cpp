// snakepit ps

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/pool_choice.hpp"
#include "cli/text_table.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <memory>

namespace snakepit::cli {
namespace {

std::vector<std::string> row_of(const running_pool& p) {
    const auto pid = std::to_string(p.client.pid());
    if (!p.status) return {pid, "-", "-", "-", "-", "-", "silent", printable(p.client.path())};
    const auto& s = *p.status;
    return {pid,
            printable(s["module"].get<std::string>()),
            fmt::format("{}/{}", s["workers"]["ready"].get<int>(), s["workers"]["all"].get<int>()),
            std::to_string(s["calls"]["in_flight"].get<std::uint64_t>()),
            std::to_string(s["calls"]["queued"].get<std::uint64_t>()),
            duration_text(s["uptime"].get<double>()),
            s["state"].get<std::string>(),
            printable(p.client.path())};
}

value json_of(const running_pool& p) {
    value one = p.status.value_or(value::object());
    one.erase("ok");
    one["pid"] = p.client.pid();
    one["socket"] = p.client.path();
    if (!p.status) {
        one["state"] = "silent";
        one["trouble"] = p.trouble;
    }
    return one;
}

int run(bool json) {
    const auto all = running_pools();
    if (json) {
        value list = value::array();
        for (const auto& p : all) list.push_back(json_of(p));
        constexpr int indent = 2;
        return print_line(list.dump(indent, ' ', false, value::error_handler_t::replace));
    }
    std::vector<std::vector<std::string>> rows{
        {"PID", "MODULE", "WORKERS", "IN FLIGHT", "QUEUED", "UPTIME", "STATE", "SOCKET"}};
    for (const auto& p : all) rows.push_back(row_of(p));
    return print_line(joined_lines(table_lines(rows, {true, false, true, true, true, true, false, false})));
}

}  // namespace

command add_ps(CLI::App& to) {
    auto json = std::make_shared<bool>(false);
    to.footer("\nWORKERS are those that take calls, of all. A pool whose process is stopped is \"silent\".\n");
    to.add_flag("--json", *json, "print everything that is known, as JSON");
    return [json] { return run(*json); };
}

}  // namespace snakepit::cli
