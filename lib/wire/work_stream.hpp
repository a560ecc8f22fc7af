#pragma once
// The Work stream: frames of calls down, frames of replies up.

#include "snakepit/v1/work.pb.h"
#include "wire/attachment.hpp"
#include "wire/frames.hpp"
#include "wire/stream.hpp"

#include <atomic>
#include <cstdint>

namespace snakepit::detail {

class work_stream final : public stream<v1::WorkUp, v1::WorkDown> {
public:
    work_stream(std::shared_ptr<attachment> to, std::size_t max_message_bytes)
        : to_(std::move(to)), reader_(max_message_bytes) {}

    void carry(std::shared_ptr<line> l);
    /// Any thread: no new calls; what was not sent goes to others.
    void suspend();
    /// Any thread: takes the next frame from the switchboard and writes it, unless one is being written.
    void flush();

private:
    bool message(v1::WorkUp& in) override;
    void written(bool ok) override;
    void ended() override;
    void gone() override { ended(); }
    [[nodiscard]] std::shared_ptr<line> carried() const;

    const std::shared_ptr<attachment> to_;
    mutable std::mutex line_mutex_;
    std::shared_ptr<line> line_;
    // The writer's: whoever has a frame from the switchboard.
    out_frame frame_;
    v1::WorkDown out_;
    // The reader's: gRPC's thread.
    frame_reader reader_;
    in_frame said_;
    std::atomic<std::uint64_t> writes_taken_ = 0;  // changed by the reader alone
};

}  // namespace snakepit::detail
