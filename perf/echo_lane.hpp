#pragma once
// A fake worker in this process, which answers each frame by a handler of the same io_context, so that nothing waits
// and nothing is encoded.

#include "pool/line.hpp"
#include "pool/switchboard.hpp"

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace snakepit::perf {

/// Frames and replies on their way: one of each is enough, since a lane here is done with it before it returns.
struct buffers {
    detail::out_frame frame;
    std::vector<detail::settlement> replies;
};

/// Keeps of a frame the ids alone, so that little memory but the switchboard's own is touched.
class echo_lane final : public detail::lane {
public:
    echo_lane(asio::io_context& io, detail::switchboard& board, buffers& shared)
        : io_(io), board_(board), shared_(shared) {}

    void carry(std::shared_ptr<detail::line> l) { line_ = std::move(l); }
    void unplug() { board_.disconnect(*line_, error(errc::worker_lost, "the end")); }
    void flush() override {
        while (line_ && board_.take(*line_, shared_.frame)) {
            if (held_.empty()) asio::post(io_, [this] { answer(); });
            for (const auto& c : shared_.frame.calls) held_.push_back(c.id);
            board_.written(*line_);
        }
    }
    void cancel(const std::vector<std::uint64_t>&) override {}
    void recall(const std::vector<std::uint64_t>&) override {}
    void served() override {}

private:
    void answer() {
        shared_.replies.clear();
        for (const auto id : held_) shared_.replies.push_back({id, value(1), true, 1});
        held_.clear();
        if (board_.settle(*line_, shared_.replies)) std::abort();
    }

    asio::io_context& io_;
    detail::switchboard& board_;
    buffers& shared_;
    std::shared_ptr<detail::line> line_;
    std::vector<std::uint64_t> held_;
};

}  // namespace snakepit::perf
