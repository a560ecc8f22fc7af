// snakepit ps

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/pool_choice.hpp"
#include "cli/text_table.hpp"

#include <fmt/format.h>
#include <pwd.h>
#include <CLI/CLI.hpp>
#include <memory>

namespace snakepit::cli {
namespace {

/// By name, where there is one.
std::string user_of(const running_pool& p) {
    const auto user = p.client.user();
    if (!user) return "-";
    const passwd* known = ::getpwuid(*user);
    return known ? std::string(known->pw_name) : std::to_string(*user);
}

std::vector<std::string> row_without_figures(const running_pool& p, std::string state) {
    return {std::to_string(p.client.pid()), printable(user_of(p)), "-", "-", "-", "-", "-", std::move(state),
            printable(p.client.path())};
}

std::vector<std::string> row_of(const running_pool& p) try {
    if (!p.status) return row_without_figures(p, "silent");
    const auto& s = *p.status;
    return {std::to_string(p.client.pid()),
            printable(user_of(p)),
            printable(s.at("module").get<std::string>()),
            fmt::format("{}/{}", s.at("workers").at("ready").get<int>(), s.at("workers").at("all").get<int>()),
            std::to_string(s.at("calls").at("in_flight").get<std::uint64_t>()),
            std::to_string(s.at("calls").at("queued").get<std::uint64_t>()),
            duration_text(s.at("uptime").get<double>()),
            printable(s.at("state").get<std::string>()),
            printable(p.client.path())};
} catch (const value::exception&) {
    return row_without_figures(p, "unknown");  // one that is no pool of ours, or of another version, hides no other
}

value json_of(const running_pool& p) {
    value one = p.status.value_or(value::object());
    one.erase("ok");
    one["pid"] = p.client.pid();
    one["user"] = user_of(p);
    one["socket"] = p.client.path();
    if (!p.status) {
        one["state"] = "silent";
        if (p.trouble) one["trouble"] = p.trouble->message;
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
        {"PID", "USER", "MODULE", "WORKERS", "IN FLIGHT", "QUEUED", "UPTIME", "STATE", "SOCKET"}};
    for (const auto& p : all) rows.push_back(row_of(p));
    return print_line(joined_lines(table_lines(rows, {true, false, false, true, true, true, true, false, false})));
}

}  // namespace

command add_ps(CLI::App& to) {
    auto json = std::make_shared<bool>(false);
    to.footer(
        "\nWORKERS are those that take calls, of all. A pool whose process is stopped is \"silent\". Root sees\n"
        "the pools of all users.\n");
    to.add_flag("--json", *json, "print everything that is known, as JSON");
    return [json] { return run(*json); };
}

}  // namespace snakepit::cli
