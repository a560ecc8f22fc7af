#include "wire/hello.hpp"

#include "pool/limits.hpp"
#include "snakepit/v1/control.pb.h"

#include <fmt/format.h>
#include <set>

namespace snakepit::detail {
namespace {

constexpr int most_tools = 10'000;
constexpr int most_parameters = 255;
constexpr int most_flags = 16;
constexpr std::size_t longest_name = 200;
constexpr std::size_t longest_doc = 4 << 10;
constexpr std::size_t longest_text = 1 << 10;

error breach(std::string what) {
    return {errc::protocol_violation, "the worker's hello is not valid: " + std::move(what)};
}

result<tool_parameter> checked(const v1::Parameter& p) {
    using kind = tool_parameter::kind;
    if (p.name().empty() || p.name().size() > longest_name || p.annotation().size() > longest_text ||
        p.default_text().size() > longest_text)
        return tl::unexpected(breach("a parameter's text is too long"));
    tool_parameter made{p.name(), kind::positional_or_keyword, p.annotation(), p.has_default(), p.default_text()};
    switch (p.kind()) {
        case v1::Parameter::POSITIONAL_ONLY: made.passing = kind::positional_only; break;
        case v1::Parameter::POSITIONAL_OR_KEYWORD: break;
        case v1::Parameter::VAR_POSITIONAL: made.passing = kind::var_positional; break;
        case v1::Parameter::KEYWORD_ONLY: made.passing = kind::keyword_only; break;
        case v1::Parameter::VAR_KEYWORD: made.passing = kind::var_keyword; break;
        default: return tl::unexpected(breach(fmt::format("parameter {} has no known kind", p.name())));
    }
    return made;
}

}  // namespace

result<worker_hello> checked(const v1::Hello& hello) {
    if (hello.protocol_major() != protocol_major)
        return tl::unexpected(
            error(errc::protocol_mismatch,
                  fmt::format("this host speaks protocol {}.{}, the worker's Python package (version {}) speaks {}.{}; "
                              "install the package that belongs to this library",
                              protocol_major, protocol_minor, hello.package_version(), hello.protocol_major(),
                              hello.protocol_minor())));
    worker_hello made{hello.protocol_minor(), hello.lane(), {}};
    if (hello.tools().empty()) return tl::unexpected(breach("it has no tools"));
    if (hello.tools_size() > most_tools) return tl::unexpected(breach(fmt::format("over {} tools", most_tools)));
    std::set<std::string_view> names;
    for (const auto& t : hello.tools()) {
        if (t.name().empty() || t.name().size() > longest_name)
            return tl::unexpected(breach("a tool's name is empty or too long"));
        if (!names.insert(t.name()).second)
            return tl::unexpected(breach(fmt::format("two tools are named {}", t.name())));
        if (t.doc().size() > longest_doc || t.returns().size() > longest_text || t.parameters_size() > most_parameters)
            return tl::unexpected(breach(fmt::format("the description of tool {} is too long", t.name())));
        if (t.flags_size() > most_flags)
            return tl::unexpected(breach(fmt::format("tool {} has too many flags", t.name())));
        tool_spec spec{t.name(), t.doc(), {}, t.returns(), {t.flags().begin(), t.flags().end()}};
        for (const auto& p : t.parameters()) {
            auto parameter = checked(p);
            if (!parameter) return tl::unexpected(parameter.error());
            spec.parameters.push_back(std::move(*parameter));
        }
        made.tools.push_back(std::move(spec));
    }
    return made;
}

}  // namespace snakepit::detail
