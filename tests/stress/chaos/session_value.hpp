#pragma once
// Values that say themselves who wrote them, and where.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace snakepit::chaos {

/// As text "key/variable/number", and for a counter "key/variable/number/count".
struct session_value {
    std::string key;
    std::string variable;
    std::uint64_t number = 0;  ///< no other write of the run has it
    std::uint64_t count = 0;   ///< 0: none
    friend bool operator==(const session_value&, const session_value&) = default;
};

[[nodiscard]] std::string to_text(const session_value& v);
/// @return  nothing when it is no such text
[[nodiscard]] std::optional<session_value> parse(std::string_view text);

}  // namespace snakepit::chaos
