// snakepit tools MODULE

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "value/json_text.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string_view>

namespace snakepit::cli {
namespace {

struct tools_arguments {
    common_options common;
    std::string module;
    bool json = false;
};

using kind = tool_parameter::kind;

std::string_view name_of(kind k) {
    switch (k) {
        case kind::positional_only: return "positional_only";
        case kind::positional_or_keyword: return "positional_or_keyword";
        case kind::var_positional: return "var_positional";
        case kind::keyword_only: return "keyword_only";
        case kind::var_keyword: return "var_keyword";
    }
    return "unknown";
}

std::string text_of(const tool_parameter& p) {
    const char* stars = p.passing == kind::var_positional ? "*" : p.passing == kind::var_keyword ? "**" : "";
    std::string text = stars + p.name;
    if (!p.annotation.empty()) text += ": " + p.annotation;
    if (p.has_default) text += (p.annotation.empty() ? "=" : " = ") + p.default_text;
    return text;
}

/// As Python writes it: f(a, /, b: int = 1, *, c) -> str
std::string signature_of(const tool_spec& tool) {
    std::string list;
    const auto add = [&](std::string_view part) {
        if (!list.empty()) list += ", ";
        list += part;
    };
    std::optional<kind> before;
    bool starred = false;
    for (const auto& p : tool.parameters) {
        if (before == kind::positional_only && p.passing != kind::positional_only) add("/");
        if (p.passing == kind::keyword_only && !starred) add("*");
        starred = starred || p.passing == kind::keyword_only || p.passing == kind::var_positional;
        add(text_of(p));
        before = p.passing;
    }
    if (before == kind::positional_only) add("/");
    return fmt::format("{}({}){}{}", tool.name, list, tool.returns.empty() ? "" : " -> ", tool.returns);
}

value json_of(const tool_spec& tool) {
    value parameters = value::array();
    for (const auto& p : tool.parameters) {
        value one = {{"name", p.name}, {"kind", name_of(p.passing)}, {"annotation", p.annotation}};
        one["default"] = p.has_default ? value(p.default_text) : value(nullptr);
        parameters.push_back(std::move(one));
    }
    return {{"name", tool.name},
            {"doc", tool.doc},
            {"parameters", std::move(parameters)},
            {"returns", tool.returns},
            {"flags", tool.flags}};
}

int print(const std::vector<tool_spec>& tools, bool json) {
    constexpr int indent = 2;
    if (json) {
        value list = value::array();
        for (const auto& t : tools) list.push_back(json_of(t));
        return print_line(detail::to_json_text(list, indent).value());
    }
    std::string text;
    for (const auto& t : tools) {
        if (!text.empty()) text += '\n';
        text += signature_of(t);
        if (const auto first = t.doc.substr(0, t.doc.find('\n')); !first.empty()) text += "\n    " + first;
    }
    return print_line(text);
}

asio::awaitable<int> list(pool& workers, bool json) { co_return print(workers.tools(), json); }

}  // namespace

command add_tools(CLI::App& to) {
    auto given = std::make_shared<tools_arguments>();
    to.footer("\nexample:\n  snakepit tools text_tools --path ./python\n");
    to.add_option("module", given->module, "import name of a Python module")->type_name("MODULE")->required();
    to.add_flag("--json", given->json, "print everything that is known, as JSON");
    add_pool_options(to, given->common);
    return [given] {
        return with_pool(make_brief_pool_options(given->common, given->module),
                         [&](pool& workers) { return list(workers, given->json); });
    };
}

}  // namespace snakepit::cli
