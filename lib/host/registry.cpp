#include "host/registry.hpp"

#include "session/session_names.hpp"

#include <fmt/format.h>
#include <utility>

namespace snakepit::detail {

result<void> host_registry::add(host_tool tool) {
    if (auto bad = refuse_name(tool.spec.name, "host tool")) return tl::unexpected(*bad);
    const std::lock_guard lock(mutex_);
    const auto name = tool.spec.name;
    if (tools_.contains(name))
        return tl::unexpected(error(errc::bad_arguments, fmt::format("there is a host tool \"{}\" already", name)));
    tools_.emplace(name, std::make_shared<const host_tool>(std::move(tool)));
    return {};
}

bool host_registry::remove(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return tools_.erase(name) != 0;
}

std::shared_ptr<const host_tool> host_registry::find(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto known = tools_.find(name);
    return known == tools_.end() ? nullptr : known->second;
}

std::vector<std::string> host_registry::names() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> all;
    for (const auto& [name, tool] : tools_) all.push_back(name);
    return all;
}

std::vector<tool_spec> host_registry::specs() const {
    const std::lock_guard lock(mutex_);
    std::vector<tool_spec> all;
    for (const auto& [name, tool] : tools_) all.push_back(tool->spec);
    return all;
}

}  // namespace snakepit::detail
