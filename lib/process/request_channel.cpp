#include "process/request_channel.hpp"

#include <fmt/format.h>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <utility>

namespace snakepit::detail {
namespace {

// A socket and a process have only so many packets and descriptors under way.
constexpr std::size_t most_at_once = 32;

}  // namespace

std::optional<std::uint64_t> number_of(const value& message, const char* key) {
    const auto it = message.find(key);
    if (it == message.end() || !it->is_number_unsigned()) return std::nullopt;
    return it->get<std::uint64_t>();
}

result<birth> prepare_birth(int launch_type) {
    auto launch = make_own_socket_pair(launch_type);
    auto life_line = make_own_pipe(pipe_end::write);
    auto out = make_own_pipe(pipe_end::read);
    auto err = make_own_pipe(pipe_end::read);
    for (const auto* made : {&launch, &life_line, &out, &err})
        if (!*made) return tl::unexpected(made->error());
    auto shared = page::make();
    if (!shared) return tl::unexpected(shared.error());
    worker_fds child{std::move(launch->theirs), std::move(life_line->theirs), shared->take_descriptor(),
                     std::move(out->theirs), std::move(err->theirs)};
    return birth{std::move(child),   std::move(launch->ours), std::move(life_line->ours),
                 std::move(*shared), std::move(out->ours),    std::move(err->ours)};
}

error pool_is_stopping() { return {errc::pool_stopped, "the pool is stopping"}; }

request_channel::request_channel(strand on, shielded_fd socket, std::string who, std::chrono::milliseconds limit)
    : on_(std::move(on)), who_(std::move(who)), limit_(limit), socket_(on_), turn_(on_) {
    auto [fd, shield] = socket.release();
    socket_.assign(fd);
    shield_ = std::move(shield);
    turn_.expires_at(std::chrono::steady_clock::time_point::max());
}

asio::awaitable<result<value>> request_channel::greeting(std::shared_ptr<request_channel> self) {
    asio::steady_timer limit(self->on_, self->limit_);
    const auto late = std::make_shared<bool>(false);
    limit.async_wait([late, weak = std::weak_ptr(self)](const asio::error_code& stopped) {
        if (stopped) return;
        *late = true;
        if (const auto me = weak.lock()) me->socket_.cancel();
    });
    self->greeting_ = true;
    result<std::optional<packet>> heard = std::nullopt;
    while (heard && !*heard && !*late && !self->refusal_) {
        asio::error_code failed;
        co_await self->socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                                          asio::redirect_error(asio::use_awaitable, failed));
        if (self->is_open()) heard = receive_packet(self->socket_.native_handle(), self->who_);
    }
    self->greeting_ = false;
    if (self->refusal_) co_return tl::unexpected(*self->refusal_);
    if (heard && *heard) co_return std::move((*heard)->body);
    if (*late)
        co_return tl::unexpected(
            error(errc::start_timeout, fmt::format("it was not up within {} ms", self->limit_.count())));
    co_return tl::unexpected(heard.error());
}

void request_channel::listen(listener to) {
    to_ = std::move(to);
    wait();
}

void request_channel::wait() {
    socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                       [weak = weak_from_this()](const asio::error_code& failed) {
                           const auto self = weak.lock();
                           if (failed || !self) return;
                           while (self->is_open()) {
                               auto heard = receive_packet(self->socket_.native_handle(), self->who_);
                               if (!heard) return self->lose(heard.error());
                               if (!*heard) return self->wait();
                               self->handle(std::move(**heard));
                           }
                       });
}

void request_channel::handle(packet p) {
    const auto spawned = number_of(p.body, "spawned");
    const auto id = spawned ? spawned : number_of(p.body, "failed");
    const auto it = id ? pending_.find(*id) : pending_.end();
    if (it == pending_.end()) return to_.news(p.body);
    if (spawned && p.fds.size() == 1)
        it->second->outcome =
            worker_process{static_cast<int>(number_of(p.body, "pid").value_or(0)), std::move(p.fds[0])};
    else
        it->second->outcome = tl::unexpected(error(
            errc::launch_failed, fmt::format("{} could not start a worker: {}", who_, text_of(p.body, "message"))));
    it->second->wake.cancel();
}

asio::awaitable<result<worker_process>> request_channel::ask(std::shared_ptr<request_channel> self, std::uint64_t id,
                                                             const char* op, worker_fds fds) {
    while (self->pending_.size() >= most_at_once && !self->refusal_) {
        asio::error_code woken;
        co_await self->turn_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
    if (self->refusal_) co_return tl::unexpected(*self->refusal_);
    const auto waiter = std::make_shared<pending>(pending{std::nullopt, asio::steady_timer(self->on_, self->limit_)});
    self->pending_.emplace(id, waiter);
    self->tell({{"op", op}, {"id", id}},
               {fds.launch.get(), fds.life_line.get(), fds.page.get(), fds.out.get(), fds.err.get()});
    if (!self->refusal_) {  // else it is the channel's end, found on sending
        asio::error_code woken;
        co_await waiter->wake.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
    self->pending_.erase(id);
    self->turn_.cancel();
    if (waiter->outcome) co_return std::move(*waiter->outcome);
    // Who does not answer is stuck, and of no use to the next either.
    if (!self->refusal_) self->lose(error(errc::launch_failed, self->who_ + " did not answer"));
    co_return tl::unexpected(*self->refusal_);
}

void request_channel::tell(const value& message, const std::vector<int>& fds) {
    if (auto sent = send_packet(socket_.native_handle(), message, fds, who_); !sent) lose(sent.error());
}

void request_channel::refuse(const error& why) {
    if (!refusal_) refusal_ = why;
    if (greeting_) socket_.cancel();
    turn_.cancel();
    for (const auto& [id, waiter] : pending_) waiter->wake.cancel();
}

void request_channel::close(const error& why) {
    to_ = {};
    refuse(why);
    asio::error_code none;
    shield_.lift();
    socket_.close(none);
}

void request_channel::lose(const error& why) {
    const auto lost = std::move(to_.lost);
    close(why);
    if (lost) lost(why);
}

}  // namespace snakepit::detail
