#pragma once
// Where to listen, as options say it.

#include <optional>
#include <string>
#include <string_view>

namespace snakepit::detail {

struct listen_address {
    std::string host;  ///< a name or an address, without brackets
    int port = 0;      ///< 0: any that is free
};

/// Of "host:port", IPv6 addresses in brackets. @return  nothing when it is anything else
[[nodiscard]] std::optional<listen_address> parse_listen_address(std::string_view text);

/// What `parse_listen_address` takes, in words.
[[nodiscard]] std::string_view listen_addresses() noexcept;

}  // namespace snakepit::detail
