#pragma once
// What tools say of themselves in `tool_spec::flags`.

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace snakepit::detail {

/// Most calls that the tool runs together, as "batch:N" says; 1 for a tool without batches.
[[nodiscard]] inline int batch_of(const std::vector<std::string>& flags) {
    constexpr std::string_view prefix = "batch:";
    constexpr int most = 4'096;  // calls that a worker may hold
    for (const std::string_view flag : flags) {
        if (!flag.starts_with(prefix)) continue;
        int calls = 0;
        const auto [end, failed] = std::from_chars(flag.data() + prefix.size(), flag.data() + flag.size(), calls);
        if (failed == std::errc() && end == flag.data() + flag.size()) return std::clamp(calls, 1, most);
    }
    return 1;
}

}  // namespace snakepit::detail
