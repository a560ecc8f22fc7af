#pragma once
// The Control stream: hello, and what the host asks of the worker.

#include "snakepit/v1/control.pb.h"
#include "wire/attachment.hpp"
#include "wire/stream.hpp"

#include <deque>

namespace snakepit::detail {

class control_stream final : public stream<v1::ControlUp, v1::ControlDown> {
public:
    explicit control_stream(std::shared_ptr<attachment> to) : to_(std::move(to)) {}

    /// Any thread. Sent in order; dropped when the stream has ended.
    void send(v1::ControlDown message);

private:
    bool message(v1::ControlUp& in) override;
    bool take_telemetry(v1::ControlUp& in);
    void written(bool ok) override;
    void ended() override;
    void gone() override { ended(); }

    const std::shared_ptr<attachment> to_;
    std::mutex queue_mutex_;
    std::deque<v1::ControlDown> queue_;
    bool writing_ = false;
    v1::ControlDown out_;
    bool hello_seen_ = false;
};

}  // namespace snakepit::detail
