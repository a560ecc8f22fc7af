#include "cli/doctor_report.hpp"
#include "process/unique_fd.hpp"
#include "telemetry/otlp/settings.hpp"
#include "telemetry/redactor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace snakepit::cli {
namespace {

constexpr int limit_ms = 2'000;

struct place {
    std::string host;
    std::string port;
};

/// "host:4317" or "[::1]:4317".
place place_of(const std::string& address) {
    const auto colon = address.rfind(':');
    auto host = address.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    return {std::move(host), address.substr(colon + 1)};
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

std::string reach_path(const std::string& path) {
    sockaddr_un there{};
    there.sun_family = AF_UNIX;
    if (path.size() >= sizeof there.sun_path) return "the path is too long";
    path.copy(there.sun_path, path.size());
    addrinfo at{};
    at.ai_family = AF_UNIX;
    at.ai_addr = reinterpret_cast<sockaddr*>(&there);
    at.ai_addrlen = sizeof there;
    return connect_to(at);
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

/// As gRPC has them. @return  why not; empty: somebody listens
std::string reach(const std::string& address) {
    constexpr std::string_view unix_scheme = "unix:";
    constexpr std::string_view dns_scheme = "dns:";
    if (address.starts_with(unix_scheme)) return reach_path(address.substr(unix_scheme.size()));  // /// is as good as /
    if (!address.starts_with(dns_scheme)) return reach(place_of(address));
    const auto name = address.rfind('/');  // dns:host:4317, dns:///host:4317 or dns://server/host:4317
    return reach(place_of(address.substr(name == address.npos ? dns_scheme.size() : name + 1)));
}

/// A line for a shell.
std::string unset_endpoints() {
    std::string line;
    for (const char* name :
         {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"})
        if (const char* given = std::getenv(name); given && *given) line += fmt::format(" {}", name);
    return line.empty() ? line : "unset" + line;
}

/// @return  whether somebody listens there
bool probe(std::string_view what, const std::string& address, doctor_report& into) {
    const auto why = reach(address);
    if (why.empty()) into.add(level::ok, "telemetry", fmt::format("{}: somebody listens there", address));
    else
        into.add(level::warning, "telemetry", fmt::format("{} for {} cannot be reached: {}", address, what, why),
                 "start what collects traces and metrics there, or correct the variable; a pool runs without it and "
                 "drops them",
                 unset_endpoints());
    return why.empty();
}

}  // namespace

void examine_telemetry(doctor_report& into) {
    auto& facts = into.facts["telemetry"] = {{"traces", nullptr}, {"metrics", nullptr}, {"reachable", nullptr}};
    const auto settings = detail::otlp_settings_from({}, [](const char* name) { return std::getenv(name); });
    if (!settings)
        return into.add(level::problem, "telemetry", settings.error().message(),
                        "correct the variable, or unset it: no pool starts with it", unset_endpoints());
    const detail::redactor redact(log_options().redact);  // an endpoint may have a password
    for (const auto& w : settings->warnings)
        into.add(level::warning, "telemetry", redact.text(w),
                 "correct the variable, or unset it; a pool runs all the same",
                 w.find("ENDPOINT") != w.npos ? unset_endpoints() : "");
    if (settings->traces) facts["traces"] = settings->traces->address;
    if (settings->metrics) facts["metrics"] = settings->metrics->address;
    if (!settings->traces && !settings->metrics)
        return into.add(level::ok, "telemetry",
                        "nothing is exported: no variable OTEL_EXPORTER_OTLP_... names a place");
    bool all = true;
    if (settings->traces) all = probe("traces", settings->traces->address, into);
    if (settings->metrics && facts["metrics"] != facts["traces"])
        all = probe("metrics", settings->metrics->address, into) && all;
    facts["reachable"] = all;
}

}  // namespace snakepit::cli
