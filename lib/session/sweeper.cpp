#include "session/sweeper.hpp"

#include "process/fork_shield.hpp"

#include <asio/post.hpp>

#include <algorithm>
#include <utility>

namespace snakepit::detail {

sweeper::sweeper(strand on, std::shared_ptr<memory_store> store)
    : on_(std::move(on)), store_(std::move(store)), timer_(on_) {}

void sweeper::start() {
    alarm_ = store_->on_alarm([on = on_, weak = weak_from_this()](time_point at) {
        asio::post(on, [weak, at] {
            if (const auto live = weak.lock()) live->wake_at(at);
        });
    });
}

void sweeper::stop() {
    alarm_.reset();
    timer_.cancel();
}

void sweeper::wake_at(time_point at) {
    if (!alarm_ || at >= wake_at_) return;
    wake_at_ = at;
    const bool more_to_do = at <= swept_;
    timer_.expires_at(more_to_do || swept_ == time_point::min() ? at : std::max(at, swept_ + pause));
    timer_.async_wait([weak = weak_from_this()](const asio::error_code& moved) {
        const auto live = weak.lock();
        if (!moved && live && live->alarm_ && !fork_shield::in_child()) live->sweep();
    });
}

void sweeper::sweep() {
    wake_at_ = time_point::max();
    swept_ = memory_store::clock::now();
    store_->sweep(swept_);
}

}  // namespace snakepit::detail
