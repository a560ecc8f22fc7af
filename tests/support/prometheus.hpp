#pragma once
// HTTP for tests, and a Prometheus server of their own.

#include "support/surroundings.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace snakepit::test {

struct http_answer {
    int status = 0;  ///< 0: no connection, or no answer
    std::string headers;
    std::string body;
};

/// Sends this text and reads until the other side ends. Blocks for ten seconds at most.
[[nodiscard]] http_answer http_send(const std::string& host, int port, const std::string& request);
[[nodiscard]] http_answer http_get(int port, const std::string& path);

/// A program in $PATH.
[[nodiscard]] bool has_program(const std::string& name);

/// Skips the test when Debian's package `prometheus` is not installed, which CI does not do without.
#define NEEDS_PROMETHEUS()                                                                                   \
    do {                                                                                                     \
        if (::snakepit::test::has_program("promtool") && ::snakepit::test::has_program("prometheus")) break; \
        if (std::getenv("CI")) FAIL() << "prometheus is not installed";                                      \
        GTEST_SKIP() << "prometheus and promtool are not installed";                                         \
    } while (false)

/// The real server, on loopback, with its data in a directory of its own. Ended and removed at the end.
class prometheus_server {
public:
    /// It scrapes this port five times a second. Check `is_up`.
    explicit prometheus_server(int scraped_port);
    ~prometheus_server();
    prometheus_server(const prometheus_server&) = delete;
    prometheus_server& operator=(const prometheus_server&) = delete;

    [[nodiscard]] bool is_up() const noexcept { return pid_ > 0; }
    /// What it has written until now.
    [[nodiscard]] std::string log() const;
    /// The value of the first series of an answer; nothing: there is none.
    [[nodiscard]] std::optional<double> ask(const std::string& query) const;

private:
    bool start(int scraped_port);
    void end();

    temporary_directory directory_;
    int pid_ = 0;
    int port_ = 0;
};

}  // namespace snakepit::test
