#pragma once
// The host tools of one pool.

#include <snakepit/host_tools.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace snakepit::detail {

/** @par Thread safety  every member from any thread */
class host_registry {
public:
    /// @return  or errc::invalid_name, bad_arguments when there is one of that name
    [[nodiscard]] result<void> add(host_tool tool);
    /// @return  whether there was one
    bool remove(const std::string& name);
    /// Null: there is none.
    [[nodiscard]] std::shared_ptr<const host_tool> find(const std::string& name) const;
    [[nodiscard]] std::vector<std::string> names() const;
    [[nodiscard]] std::vector<tool_spec> specs() const;

private:
    mutable std::mutex mutex_;
    std::map<std::string, std::shared_ptr<const host_tool>> tools_;
};

}  // namespace snakepit::detail
