#include "process/worker_source.hpp"

#include <utility>

namespace snakepit::detail {

worker_source::worker_source(strand on, launcher::config how, zygote::config module, start_method wanted)
    : launcher_(std::make_shared<launcher>(on, std::move(how))),
      module_(std::move(module)),
      wanted_(wanted),
      raising_(on),
      method_(wanted),
      reason_(wanted == start_method::spawn ? "pool_options::start_method is spawn" : "") {}

asio::awaitable<result<void>> worker_source::start(std::shared_ptr<worker_source> self) {
    if (auto up = co_await launcher::start(self->launcher_); !up) co_return up;
    co_return co_await renew(self);
}

asio::awaitable<result<worker_process>> worker_source::make(std::shared_ptr<worker_source> self, worker_fds fds,
                                                            launcher::on_exit ended) {
    if (self->method().first == start_method::fork && !(self->zygote_ && self->zygote_->is_usable())) {
        result<void> up;
        if (self->raising_.busy()) up = co_await self->raising_.idle();
        else up = co_await self->raising_.run(raise(self));
        if (!up) co_return tl::unexpected(up.error());
    }
    const auto from = self->zygote_;
    if (!from)
        co_return co_await launcher::spawn(self->launcher_, launcher::kind::worker, std::move(fds), std::move(ended));
    co_return co_await zygote::fork(from, std::move(fds), std::move(ended));
}

asio::awaitable<result<void>> worker_source::renew(std::shared_ptr<worker_source> self) {
    if (self->wanted_ == start_method::spawn) co_return result<void>();
    // Not the one that is under way: it may have read the old code.
    while (self->raising_.busy()) (void)co_await self->raising_.idle();
    co_return co_await self->raising_.run(raise(self));
}

/// A new zygote, which takes the place of the old one when it is ready. What the old one has been asked for it still
/// does.
asio::awaitable<result<void>> worker_source::raise(std::shared_ptr<worker_source> self) {
    const auto next = std::make_shared<zygote>(self->launcher_, self->module_);
    self->raised_ = next;
    if (self->refused_) next->refuse();
    auto unsafe = co_await zygote::start(next);
    self->raised_ = nullptr;
    if (!unsafe) co_return tl::unexpected(unsafe.error());
    const bool safe = unsafe->empty();
    self->zygote_ = safe ? next : nullptr;
    self->settle(safe ? start_method::fork : start_method::spawn, std::move(*unsafe));
    co_return result<void>();
}

void worker_source::refuse() {
    refused_ = true;
    for (const auto& z : {raised_, zygote_})
        if (z) z->refuse();
    launcher_->refuse();
}

asio::awaitable<void> worker_source::end(std::shared_ptr<worker_source> self) {
    self->refuse();
    self->zygote_ = nullptr;
    co_await launcher::end(self->launcher_);
}

void worker_source::settle(start_method method, std::string reason) {
    const std::lock_guard lock(mutex_);
    method_ = method;
    reason_ = std::move(reason);
}

std::pair<start_method, std::string> worker_source::method() const {
    const std::lock_guard lock(mutex_);
    return {method_, reason_};
}

}  // namespace snakepit::detail
