#pragma once
// What tools have read of their sessions: a guess at what they will read.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace snakepit::detail {

/** The names that each tool has asked for last.

    @par Thread safety  every member from any thread */
class read_ahead {
public:
    using names = std::shared_ptr<const std::vector<std::string>>;

    /// @param asked  the variables that a call of this tool has asked for; none when it has written
    void learn(std::uint32_t tool, const std::vector<std::string>& asked) {
        const std::lock_guard lock(mutex_);
        if (tool >= of_tools_.size()) of_tools_.resize(tool + std::size_t{1});
        auto& known = of_tools_[tool];
        if (!known) known = std::make_shared<const std::vector<std::string>>();
        for (const auto& name : asked) {
            if (name.size() > longest || std::find(known->begin(), known->end(), name) != known->end()) continue;
            std::vector<std::string> now(known->begin() + (known->size() == most ? 1 : 0), known->end());
            now.push_back(name);
            known = std::make_shared<const std::vector<std::string>>(std::move(now));
        }
    }
    /// Null: none of its calls has used its session.
    [[nodiscard]] names guess(std::uint32_t tool) const {
        const std::lock_guard lock(mutex_);
        return tool < of_tools_.size() ? of_tools_[tool] : nullptr;
    }

private:
    static constexpr std::size_t most = 8;
    static constexpr std::size_t longest = 64;

    mutable std::mutex mutex_;
    std::vector<names> of_tools_;
};

}  // namespace snakepit::detail
