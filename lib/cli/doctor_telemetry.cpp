#include "cli/doctor_report.hpp"
#include "process/unique_fd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace snakepit::cli {
namespace {

constexpr auto variable = "OTEL_EXPORTER_OTLP_ENDPOINT";
constexpr int limit_ms = 2'000;

struct place {
    std::string host;
    std::string port;
};

/// "http://host:4317", its port 4317 unless it is said. Nothing: it is no such thing.
std::optional<place> place_of(std::string text) {
    std::string port = "4317";
    if (!text.starts_with("http://") && !text.starts_with("https://")) return std::nullopt;
    text.erase(0, text.find("://") + 3);
    text = text.substr(0, text.find('/'));
    const auto colon = text.rfind(':');
    if (text.starts_with('[')) {  // an address of IPv6
        const auto close = text.find(']');
        if (close == text.npos) return std::nullopt;
        if (colon != text.npos && colon > close) port = text.substr(colon + 1);
        text = text.substr(1, close - 1);
    } else if (colon != text.npos) {
        port = text.substr(colon + 1);
        text.resize(colon);
    }
    if (text.empty() || port.empty()) return std::nullopt;
    return place{text, port};
}

/// @return  why not; empty: somebody listens
std::string connect_to(const addrinfo& at) {
    const detail::unique_fd socket(::socket(at.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) return std::strerror(errno);
    if (::connect(socket.get(), at.ai_addr, at.ai_addrlen) == 0) return {};
    if (errno != EINPROGRESS) return std::strerror(errno);
    pollfd ready{socket.get(), POLLOUT, 0};
    if (::poll(&ready, 1, limit_ms) <= 0) return fmt::format("no answer within {} s", limit_ms / 1'000);
    int failed = 0;
    socklen_t size = sizeof failed;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &failed, &size);
    return failed == 0 ? std::string() : std::string(std::strerror(failed));
}

std::string reach(const place& wanted) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int failed = ::getaddrinfo(wanted.host.c_str(), wanted.port.c_str(), &hints, &found); failed != 0)
        return ::gai_strerror(failed);
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(found, &::freeaddrinfo);
    std::string why = "it has no address";
    for (const auto* at = found; at && !why.empty(); at = at->ai_next) why = connect_to(*at);
    return why;
}

}  // namespace

void examine_telemetry(doctor_report& into) {
    auto& facts = into.facts["telemetry"] = {{"otlp_endpoint", nullptr}, {"reachable", nullptr}};
    const char* given = std::getenv(variable);
    if (!given || !*given) return into.add(level::ok, "telemetry", fmt::format("{} is not set", variable));
    facts["otlp_endpoint"] = given;
    const auto where = place_of(given);
    const auto why = where ? reach(*where) : std::string("it is no http://HOST:PORT");
    facts["reachable"] = why.empty();
    if (why.empty()) return into.add(level::ok, "telemetry", fmt::format("{}: somebody listens there", given));
    into.add(level::warning, "telemetry", fmt::format("{} {} cannot be reached: {}", variable, given, why),
             where
                 ? "start what collects traces and metrics there, or correct the variable; a pool runs without it and "
                   "drops them"
                 : "make it http://HOST:PORT, such as http://localhost:4317, or unset it",
             fmt::format("unset {}", variable));
}

}  // namespace snakepit::cli
