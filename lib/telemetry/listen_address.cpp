#include "telemetry/listen_address.hpp"

#include <arpa/inet.h>
#include <algorithm>
#include <charconv>

namespace snakepit::detail {
namespace {

bool is_ipv6(const std::string& text) {
    in6_addr ignored{};
    return ::inet_pton(AF_INET6, text.c_str(), &ignored) == 1;
}

/// What can be a name; an IPv4 address looks like one.
bool is_name(std::string_view text) {
    const auto fits = [](char ch) {
        return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '.' ||
               ch == '-' || ch == '_';
    };
    return !text.empty() && text.size() <= 253 && std::ranges::all_of(text, fits);
}

/// Digits and dots alone: then it means to be an address.
bool means_ipv4(std::string_view text) { return text.find_first_not_of("0123456789.") == text.npos; }

bool is_ipv4(const std::string& text) {
    in_addr ignored{};
    return ::inet_pton(AF_INET, text.c_str(), &ignored) == 1;
}

}  // namespace

std::optional<listen_address> parse_listen_address(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == text.npos) return std::nullopt;
    listen_address found;
    const auto digits = text.substr(colon + 1);
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), found.port);
    if (digits.empty() || digits[0] == '-' || failed != std::errc() || end != digits.data() + digits.size() ||
        found.port > 65'535)
        return std::nullopt;
    found.host = text.substr(0, colon);
    if (found.host.size() > 2 && found.host.front() == '[' && found.host.back() == ']') {
        found.host = found.host.substr(1, found.host.size() - 2);
        return is_ipv6(found.host) ? std::optional(found) : std::nullopt;
    }
    if (!is_name(found.host) || (means_ipv4(found.host) && !is_ipv4(found.host))) return std::nullopt;
    return found;
}

std::string_view listen_addresses() noexcept {
    return "empty, or HOST:PORT with a port of 0 (any that is free) to 65535: \"127.0.0.1:9464\", \"[::1]:9464\"; all "
           "of this machine's addresses are \"0.0.0.0:9464\" or \"[::]:9464\"";
}

}  // namespace snakepit::detail
