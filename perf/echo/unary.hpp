#pragma once
// Unary callback gRPC over a Unix socket: what a C++ team would write by hand.

#include "echo/measured.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace grpc {
class Channel;
}

namespace snakepit::perf {

/// A server in a process of its own, which ends with this object.
class server_process {
public:
    explicit server_process(const std::vector<std::string>& command);
    ~server_process();
    server_process(const server_process&) = delete;
    server_process& operator=(const server_process&) = delete;

private:
    int pid_ = 0;
    int stdin_ = -1;
};

/// Serves the echo in C++ until stdin ends.
void serve_unary(const std::string& socket);

class unary_client {
public:
    /// Waits until the server is there.
    explicit unary_client(const std::string& socket);
    /// What the pool offers, by hand: each caller is a coroutine on an io_context, and resumes there.
    [[nodiscard]] measured run(int callers, clock::duration stretch, const std::string& payload);
    /// Without coming home: each completion starts the next call on gRPC's thread.
    [[nodiscard]] measured run_on_grpc_threads(int callers, clock::duration stretch, const std::string& payload);

private:
    std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace snakepit::perf
