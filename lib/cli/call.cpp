// snakepit call MODULE:TOOL [JSON]

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "value/json_text.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace snakepit::cli {
namespace {

struct call_arguments {
    common_options common;
    std::string tool;
    std::string json;
    std::string session;
    std::vector<std::string> variables;  // "name=JSON"
    bool pretty = false;
};

struct variable_given {
    std::string name;
    value data;
};

constexpr auto call_footer = R"(
A JSON object is keyword arguments, an array positional ones, anything else one argument; none: no arguments.
'-' takes the JSON from the standard input, @FILE from a file. What starts with '-', such as -5, goes behind '--'.
What JSON has no word for is written {"$float": "nan"}, {"$bytes": "<base64>"} and
{"$array": {"dtype": "<f8", "shape": [2], "base64": "..."}}, in both directions.

examples:
  snakepit call text_tools:count_words '{"text": "some text"}'
  snakepit call stats:mean '[[1, 2, 3]]' --path ./python --timeout 5
  snakepit call stats:mean @arguments.json --pretty
  snakepit call chat_tools:say '["hello"]' --session alice --var 'history=["hi"]'
)";

result<std::string> read_all(const std::string& source) {
    const auto name = source == "-" ? "the standard input" : source.substr(1);
    const auto cannot = [&](const char* why) {
        return tl::unexpected(error(errc::bad_arguments, fmt::format("cannot read {}: {}", name, why)));
    };
    std::ifstream file;
    if (source != "-") {
        std::error_code none;
        if (std::filesystem::is_directory(name, none)) return cannot("it is a directory");
        file.open(name, std::ios::binary);
        if (!file) return cannot(std::strerror(errno));
    }
    auto& from = source == "-" ? std::cin : file;
    std::string text;
    char buffer[16 << 10];
    while (from.read(buffer, sizeof buffer) || from.gcount() > 0)
        text.append(buffer, static_cast<std::size_t>(from.gcount()));
    if (from.bad()) return cannot(std::strerror(errno));
    return text;
}

result<value> parse(const std::string& given) {
    if (given.empty()) return value::array();
    if (given != "-" && !given.starts_with('@')) return detail::from_json_text(given);
    auto text = read_all(given);
    if (!text) return tl::unexpected(text.error());
    return detail::from_json_text(*text);
}

/// @return  or what to say about it
result<std::vector<variable_given>> parse_variables(const call_arguments& given) {
    const auto wrong = [](std::string why) { return tl::unexpected(error(errc::bad_arguments, std::move(why))); };
    if (!given.variables.empty() && given.session.empty()) return wrong("--var sets variables of a --session");
    std::vector<variable_given> all;
    for (const auto& text : given.variables) {
        const auto equals = text.find('=');
        if (equals == 0 || equals == text.npos) return wrong(fmt::format("--var {}: give it as NAME=JSON", text));
        auto data = detail::from_json_text(text.substr(equals + 1));
        if (!data)
            return wrong(fmt::format("--var {}: {}; a text needs its quotes: '{}=\"...\"'", text,
                                     data.error().message(), text.substr(0, equals)));
        all.push_back({text.substr(0, equals), std::move(*data)});
    }
    return all;
}

asio::awaitable<int> call_and_print(pool& workers, std::string tool, value arguments, const call_arguments& given,
                                    const std::vector<variable_given>& variables) {
    constexpr int indent = 2;
    auto options = make_call_options(given.common).session(given.session);
    auto session = workers.session(given.session);
    for (const auto& v : variables) {
        const auto set = co_await session.set(v.name, v.data);
        if (set) continue;
        complain_of(set.error());
        co_return exit_usage;
    }
    auto reply = co_await workers.execute(std::move(tool), std::move(arguments), std::move(options));
    if (reply) {
        const auto text = detail::to_json_text(*reply, given.pretty ? indent : -1);
        if (text) co_return print_line(*text);
        complain_of(text.error());
        co_return exit_failed;
    }
    if (reply.error() == errc::cancelled) co_return exit_failed;  // the signal says it
    complain_of(reply.error());
    co_return reply.error() == errc::unknown_tool || reply.error() == errc::bad_arguments ? exit_usage : exit_failed;
}

int run(const call_arguments& given) {
    tool_name name;
    if (!parse_tool_name(given.tool, name)) return exit_usage;
    auto arguments = parse(given.json);
    if (!arguments) {
        complain("arguments: " + arguments.error().message());
        return exit_usage;
    }
    const auto variables = parse_variables(given);
    if (!variables) {
        complain(variables.error().message());
        return exit_usage;
    }
    return with_pool(make_brief_pool_options(given.common, name.module), [&](pool& workers) {
        return call_and_print(workers, name.tool, *std::move(arguments), given, *variables);
    });
}

}  // namespace

command add_call(CLI::App& to) {
    auto given = std::make_shared<call_arguments>();
    to.footer(call_footer);
    to.add_option("tool", given->tool, "what to call")->type_name("MODULE:TOOL")->required();
    to.add_option("json", given->json, "its arguments")->type_name("JSON|-|@FILE");
    to.add_option("--session", given->session, "the session that the call runs in")->type_name("NAME");
    to.add_option("--var", given->variables, "a variable of the session, set before the call; may be given often")
        ->type_name("NAME=JSON")
        ->expected(1)
        ->take_all();
    to.add_flag("--pretty", given->pretty, "print the result over several lines");
    add_timeout_option(to, given->common, "the call");
    add_pool_options(to, given->common);
    return [given] { return run(*given); };
}

}  // namespace snakepit::cli
