#pragma once
// Whether bytes are UTF-8.

#include <string>
#include <string_view>

namespace snakepit::detail {

/// By the rules of RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

/// With U+FFFD in place of what is not.
[[nodiscard]] std::string valid_utf8(std::string text);

}  // namespace snakepit::detail
