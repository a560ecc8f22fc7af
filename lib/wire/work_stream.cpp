#include "wire/work_stream.hpp"

#include "pool/desk.hpp"

namespace snakepit::detail {

void work_stream::carry(std::shared_ptr<line> l) {
    {
        const std::lock_guard lock(line_mutex_);
        line_ = std::move(l);
    }
    flush();
}

std::shared_ptr<line> work_stream::carried() const {
    const std::lock_guard lock(line_mutex_);
    return line_;
}

void work_stream::suspend() {
    if (const auto l = carried()) to_->board_->dismiss(*l);
}

void work_stream::flush() {
    const auto l = carried();
    if (!l || !to_->board_->take(*l, frame_)) return;
    to_->desk_->lend(frame_, to_->revoked_, writes_taken_.load(std::memory_order_acquire));
    encode_frame(frame_, out_);
    frame_.clear();  // lets go of large values
    // When the stream has finished the line stays "writing": its calls end by disconnect.
    write(&out_);
}

void work_stream::written(bool ok) {
    if (!ok) return;
    if (const auto l = carried()) to_->board_->written(*l);
    flush();
}

bool work_stream::message(v1::WorkUp& in) {
    const auto l = carried();
    if (l) to_->board_->received(in.ByteSizeLong());
    said_.clear();
    auto& [writes, items, grants, replies, questions] = said_;
    const auto is_silent = [&] {
        return writes.empty() && items.empty() && grants.empty() && replies.empty() && questions.empty();
    };
    auto breach = reader_.read(in, said_);
    if (!breach && !l && !is_silent()) breach = "it answers to no call";
    for (auto& w : writes)
        if (!breach) breach = to_->desk_->take(*l, std::move(w));
    writes_taken_.fetch_add(writes.size(), std::memory_order_release);
    if (!breach && !(items.empty() && grants.empty())) breach = to_->board_->take_streams(*l, items, grants);
    if (!breach && !replies.empty()) breach = to_->board_->settle(*l, replies);
    for (auto& q : questions)
        if (!breach) breach = to_->desk_->take(l, std::move(q));
    if (breach) to_->report_broken("it broke the protocol: " + *breach, true);
    return !breach;
}

void work_stream::ended() {
    to_->report_broken("its work stream ended");
    to_->tell_(heard::work_ended{});
}

}  // namespace snakepit::detail
