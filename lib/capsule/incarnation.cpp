#include "capsule/incarnation.hpp"

#include "pool/profile.hpp"
#include "process/pidfd.hpp"
#include "process/process_facts.hpp"
#include "process/start_failure.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <cerrno>
#include <csignal>
#include <utility>

namespace snakepit::detail {
namespace {

std::string lane_name(lane_kind kind) {
    switch (kind) {
        case lane_kind::automatic: break;
        case lane_kind::direct: return "direct";
        case lane_kind::iterator: return "iterator";
    }
    return "auto";
}

bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const auto put = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(put));
    }
    return true;
}

constexpr std::size_t longest_report = 256 << 10;

}  // namespace

incarnation::incarnation(strand on, std::shared_ptr<const pool_services> pool, std::shared_ptr<life_mailbox> to)
    : on_(std::move(on)), pool_(std::move(pool)), mail_(std::move(to)) {}

/// From any thread; dropped when this incarnation has been closed by then.
void incarnation::tell(life_event e) {
    asio::post(on_, [self = shared_from_this(), e = std::move(e)]() mutable {
        if (!self->closed_) self->mail_->push(std::move(e));
    });
}

asio::awaitable<result<void>> incarnation::start(std::shared_ptr<incarnation> self, std::string worker,
                                                 std::uint64_t number) {
    const auto& options = self->pool_->options;
    auto made = prepare_birth(SOCK_STREAM);
    if (!made) co_return tl::unexpected(made.error());
    self->left_ = std::move(made->left);
    const std::weak_ptr<incarnation> weak = self;
    // Named: as a temporary in the co_await expression g++ 12 would destroy it twice.
    launcher::on_exit ended = [weak](std::optional<int> wait_status) {
        const auto me = weak.lock();
        if (!me) return;
        if (!wait_status) me->launcher_lost_ = true;
        me->tell(heard::status{wait_status});
    };
    const auto& source = self->pool_->source;
    auto process = co_await asio::co_spawn(
        source->on(), worker_source::make(source, std::move(made->child), std::move(ended)), asio::use_awaitable);
    if (!process) co_return tl::unexpected(process.error());

    self->pid_ = process->pid;
    self->pool_->book->record("worker", process->pid, process->pidfd.get(), self->mark_);
    const int watched = ::fcntl(process->pidfd.get(), F_DUPFD_CLOEXEC, 3);
    {
        const std::lock_guard lock(self->mutex_);
        self->pidfd_ = shielded_fd(std::move(process->pidfd));
        self->life_line_ = std::move(made->life_line);
    }
    if (watched < 0) co_return tl::unexpected(error(errc::launch_failed, "no descriptor left to watch the worker"));
    self->exit_watch_.emplace(self->on_, watched);
    self->exit_shield_ = fork_shield(watched);
    self->watch_exit();
    const auto prefix = options.output == worker_output::forward ? "[" + worker + "] " : std::string();
    const auto told_of = [&](const char* stream) {
        const auto to =
            std::make_shared<output_events>(self->pool_->events, self->pool_->redact_with, worker, number, stream);
        self->output_events_.push_back(to);
        return output_tail::listener([to](const output_line& line) { to->take(line); });
    };
    auto tell_of_out = told_of("stdout");  // named, as above
    auto tell_of_err = told_of("stderr");
    self->out_ = std::make_shared<output_tail>(self->on_, std::move(made->out), prefix, std::move(tell_of_out));
    self->err_ = std::make_shared<output_tail>(self->on_, std::move(made->err), prefix, std::move(tell_of_err));
    self->out_->start();
    self->err_->start();

    const auto secret = token::random();
    self->connection_ = std::make_shared<attachment>(
        attachment::identity{worker, number, self->pid_, secret},
        attachment::limits{options.calls_per_worker, options.max_message_bytes, options.slow_call_threshold,
                           self->pool_->spans != nullptr},
        self->pool_->board, self->pool_->answers, self->left_->revoked(), [weak](life_event e) {
            if (const auto me = weak.lock()) me->tell(std::move(e));
        });
    self->pool_->door->expect(self->connection_);

    auto [launch, shield] = made->launch.release();
    self->launch_.emplace(self->on_, launch);
    self->launch_shield_ = std::move(shield);
    const value go = {{"address", self->pool_->door->address()},
                      {"worker", worker},
                      {"incarnation", number},
                      {"token", secret.hex()},
                      {"module", options.module},
                      {"python_path", self->pool_->python_path},
                      {"lane", lane_name(options.lane)},
                      {"mark", self->mark_},
                      {"warmup", options.warmup},
                      {"profile", name_of(options.profile)},
                      {"group", options.group},
                      {"groups", self->pool_->groups},
                      {"width", width_of(options)}};
    // A few hundred bytes into an empty socket: never blocks. If the worker is gone, its exit says so.
    write_all(self->launch_->native_handle(), go.dump(-1, ' ', false, value::error_handler_t::replace) + "\n");
    self->launch_->non_blocking(true);
    self->watch_report();
    co_return result<void>();
}

void incarnation::watch_exit() {
    exit_watch_->async_wait(asio::posix::stream_descriptor::wait_read,
                            [self = shared_from_this()](const asio::error_code& failed) {
                                if (!failed && !self->closed_) self->mail_->push(heard::exited{});
                            });
}

void incarnation::watch_report() {
    launch_->async_wait(asio::posix::stream_descriptor::wait_read,
                        [self = shared_from_this()](const asio::error_code& failed) {
                            if (failed || self->closed_) return;
                            const auto before = self->report_.size();
                            if (auto said = self->last_report())
                                return self->mail_->push(heard::report{std::move(*said)});
                            if (self->report_.size() != before) self->watch_report();
                        });
}

std::optional<value> incarnation::last_report() {
    if (!launch_) return std::nullopt;
    char buffer[16 << 10];
    while (report_.size() < longest_report) {
        const auto got = ::recv(launch_->native_handle(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (got <= 0) break;
        report_.append(buffer, static_cast<std::size_t>(got));
    }
    const auto end = report_.find('\n');
    if (end == std::string::npos) return std::nullopt;
    auto said = value::parse(report_.substr(0, end), nullptr, false);
    report_.clear();
    if (!said.is_object()) return std::nullopt;
    return said;
}

void incarnation::kill(int signal) noexcept {
    const std::lock_guard lock(mutex_);
    if (pidfd_) send_signal(pidfd_.get(), signal);
}

/// A call that waits in C for something would be woken up by a signal. So a thread gets it that runs no tools, as soon
/// as there is one.
void incarnation::ask_for_dump() {
    constexpr auto timers_of_grpc = "grpc_global_tim";
    const std::lock_guard lock(mutex_);
    if (!pidfd_) return;
    pollfd end{pidfd_.get(), POLLIN, 0};
    if (::poll(&end, 1, 0) != 0) return;  // it has ended: nobody else is to get it
    const auto thread = thread_named(pid_, timers_of_grpc);
    if (!thread || ::tgkill(pid_, *thread, dump_signal()) != 0) send_signal(pidfd_.get(), dump_signal());
}

std::string incarnation::output() { return out_ ? joined_output(*out_, *err_) : std::string(); }

void incarnation::tell_of_dropped_output() {
    for (const auto& each : output_events_) each->tell_of_dropped();
}

void incarnation::close(const std::string& why) {
    if (!std::exchange(closed_, true) && launcher_lost_) end_strays({mark_});
    asio::error_code none;
    exit_shield_.lift();
    launch_shield_.lift();
    if (exit_watch_) exit_watch_->close(none);
    if (launch_) launch_->close(none);
    if (out_) out_->close();
    if (err_) err_->close();
    tell_of_dropped_output();
    if (connection_) {
        pool_->door->forget(*connection_);
        connection_->cut(why);
        connection_.reset();
    }
    const std::lock_guard lock(mutex_);
    pidfd_.reset();
    life_line_.reset();
}

}  // namespace snakepit::detail
