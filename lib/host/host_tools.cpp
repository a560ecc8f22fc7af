#include <snakepit/host_tools.hpp>

#include "host/registry.hpp"
#include "pool/pool_impl.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <utility>

namespace snakepit {
namespace detail {
namespace {

error bad_arguments(const tool_spec& spec, std::string why) {
    return error(errc::bad_arguments, std::move(why)).with_tool(spec.name);
}

}  // namespace

result<std::vector<value>> in_order(const tool_spec& spec, value given) {
    const auto wanted = spec.parameters.size();
    std::vector<value> list;
    if (!given.is_object()) {
        if (given.is_array()) list = std::move(given.get_ref<value::array_t&>());
        else list.push_back(std::move(given));
        if (list.size() != wanted)
            return tl::unexpected(bad_arguments(spec, fmt::format("it takes {} argument{}, and {} were given", wanted,
                                                                  wanted == 1 ? "" : "s", list.size())));
        return list;
    }
    for (const auto& p : spec.parameters) {
        if (p.name.empty() || !given.contains(p.name))
            return tl::unexpected(bad_arguments(spec, p.name.empty()
                                                          ? "its parameters have no names: give them in order"
                                                          : fmt::format("missing argument '{}'", p.name)));
        list.push_back(std::move(given[p.name]));
    }
    if (given.size() > wanted)
        for (const auto& [name, ignored] : given.items())
            if (std::ranges::none_of(spec.parameters, [&](const tool_parameter& p) { return p.name == name; }))
                return tl::unexpected(bad_arguments(spec, fmt::format("unexpected argument '{}'", name)));
    return list;
}

error misfit(const tool_spec& spec, std::size_t position, const std::string& why) {
    const auto& p = spec.parameters.at(position);
    return bad_arguments(spec, p.name.empty() ? fmt::format("argument {}: {}", position + 1, why)
                                              : fmt::format("argument '{}': {}", p.name, why));
}

}  // namespace detail

result<void> host_tools::add_any(detail::host_tool tool, std::size_t names) {
    if (names != 0 && names != tool.spec.parameters.size())
        return tl::unexpected(
            error(errc::bad_arguments, fmt::format("{} names for {} parameters", names, tool.spec.parameters.size()))
                .with_tool(tool.spec.name));
    if (!tool.on) tool.on = of_->executor();
    return of_->host_tools().add(std::move(tool));
}

bool host_tools::remove(const std::string& name) { return of_->host_tools().remove(name); }

}  // namespace snakepit
