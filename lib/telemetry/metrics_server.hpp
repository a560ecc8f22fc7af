#pragma once
// HTTP for one page: /metrics.

#include <snakepit/error.hpp>

#include <functional>
#include <memory>
#include <string>

namespace snakepit::detail {

/** Serves metrics on a thread of its own, until it is destroyed, which does not wait for clients.

    Not prometheus::Exposer: that one (civetweb) takes two seconds to end, ignores SIGPIPE for the whole process, does
    not say why it cannot listen, and as Debian builds it knows no IPv6.

    A client has ten seconds and a request of 8 KiB; of more than 32 at once the next ones are turned away.

    @par Thread safety  `start` and the destructor from any thread, one after the other */
class metrics_server {
public:
    /// @param address  as `parse_listen_address` takes it
    /// @param text     what there is to read, made for each request
    /// @return  or errc::listen_failed
    [[nodiscard]] static result<std::unique_ptr<metrics_server>> start(const std::string& address,
                                                                       std::function<std::string()> text);
    ~metrics_server();

    [[nodiscard]] int port() const noexcept;

private:
    class service;
    explicit metrics_server(std::unique_ptr<service> s);

    const std::unique_ptr<service> service_;
};

}  // namespace snakepit::detail
