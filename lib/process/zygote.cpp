#include "process/zygote.hpp"

#include "process/pidfd.hpp"
#include "process/start_failure.hpp"

#include <sys/socket.h>
#include <unistd.h>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <csignal>
#include <utility>

namespace snakepit::detail {
zygote::zygote(std::shared_ptr<launcher> parent, config how)
    : parent_(std::move(parent)), how_(std::move(how)), ended_(parent_->on()) {
    ended_.expires_at(std::chrono::steady_clock::time_point::max());
}

zygote::~zygote() {
    if (channel_) channel_->close(error(errc::launch_failed, "the fork server was replaced"));
    if (out_) out_->close();
    if (err_) err_->close();
}  // and the life-line, whose end is the process's

asio::awaitable<result<void>> zygote::be_born() {
    auto made = prepare_birth(SOCK_SEQPACKET);
    if (!made) co_return tl::unexpected(made.error());
    // Named: as a temporary in the co_await expression g++ 12 would destroy it twice.
    launcher::on_exit ended = [weak = weak_from_this()](std::optional<int> wait_status) {
        const auto me = weak.lock();
        if (!me) return;
        me->over_ = true;
        me->wait_status_ = wait_status;
        me->ended_.cancel();
    };
    auto process = co_await launcher::spawn(parent_, launcher::kind::zygote, std::move(made->child), std::move(ended));
    if (!process) co_return tl::unexpected(process.error());
    pidfd_ = shielded_fd(std::move(process->pidfd));
    memory_kills_.look(process->pid);
    life_line_ = std::move(made->life_line);
    left_ = std::move(made->left);
    if (const auto& book = parent_->book()) book->record("zygote", process->pid, pidfd_.get());
    const auto prefix = how_.forward_output ? std::string("[fork server] ") : std::string();
    out_ = std::make_shared<output_tail>(parent_->on(), std::move(made->out), prefix);
    err_ = std::make_shared<output_tail>(parent_->on(), std::move(made->err), prefix);
    out_->start();
    err_->start();
    channel_ =
        std::make_shared<request_channel>(parent_->on(), std::move(made->launch), "the fork server", how_.timeout);
    if (refused_) channel_->refuse(pool_is_stopping());
    channel_->tell({{"module", how_.module}, {"python_path", how_.python_path}, {"profiles", how_.profiles}}, {});
    co_return result<void>();
}

asio::awaitable<result<std::string>> zygote::start(std::shared_ptr<zygote> self) {
    if (auto born = co_await self->be_born(); !born) co_return tl::unexpected(born.error());
    auto said = co_await request_channel::greeting(self->channel_);
    if (!said && said.error() == errc::pool_stopped) co_return tl::unexpected(said.error());
    if (!said && said.error() == errc::start_timeout) co_return tl::unexpected(co_await self->give_up());
    if (!said) co_return tl::unexpected(co_await self->explain(std::nullopt));
    if (said->contains("stage")) co_return tl::unexpected(co_await self->explain(std::move(*said)));
    auto unsafe = text_of(*said, "unsafe");
    if (!unsafe.empty()) {
        (void)self->exit();  // it has written a warning, which may have to be forwarded
        co_return unsafe;
    }
    if (!said->contains("ready"))
        co_return tl::unexpected(error(errc::launch_failed, "the fork server said nothing that can be understood"));
    self->channel_->listen({[](const value&) {}, [](const error&) {}});  // that it is closed says enough
    co_return std::string();
}

asio::awaitable<void> zygote::wait_over(std::chrono::milliseconds limit) {
    if (over_) co_return;
    ended_.expires_after(limit);
    asio::error_code woken;
    co_await ended_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
}

/// It has ended during the import, or is about to.
asio::awaitable<error> zygote::explain(std::optional<value> report) {
    co_await wait_over(status_limit);
    co_return start_failure(how_.module, report, exit());
}

asio::awaitable<error> zygote::give_up() {
    send_signal(pidfd_.get(), dump_signal());
    co_await wait_over(dump_time);
    co_return start_timeout(import_within(how_.timeout, how_.module), exit());
}

/// How it has ended, and all that it has written until now.
worker_exit zygote::exit() const {
    auto how = exit_of(wait_status_, joined_output(*out_, *err_), left_->python_stack());
    if (how.signal == SIGKILL) how.out_of_memory = memory_kills_.since_look();
    return how;
}

asio::awaitable<result<worker_process>> zygote::fork(std::shared_ptr<zygote> self, worker_fds fds,
                                                     launcher::on_exit ended) {
    auto process = co_await request_channel::ask(self->channel_, ++self->last_id_, "fork", std::move(fds));
    if (process) self->parent_->watch(process->pidfd.get(), std::move(ended));
    co_return process;
}

void zygote::refuse() {
    refused_ = true;
    if (channel_) channel_->refuse(pool_is_stopping());
}

}  // namespace snakepit::detail
