#include "wire/endpoint.hpp"

#include "snakepit/v1/host.grpc.pb.h"
#include "wire/control_stream.hpp"
#include "wire/work_stream.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <vector>

namespace snakepit::detail {
namespace {

constexpr int largest_message = 4 << 20;  // a hello with many tools; frames are checked to be far smaller

/// A stream that is turned away before anything is read.
template <class In, class Out>
class refused_stream final : public grpc::ServerBidiReactor<In, Out> {
public:
    explicit refused_stream(const std::string& why) {
        this->Finish(grpc::Status(grpc::StatusCode::UNAUTHENTICATED, why));
    }
    void OnDone() override { delete this; }
};

/// gRPC ends the whole process when there is none left for what it makes at its start.
bool has_spare_descriptors(int count) {
    std::vector<unique_fd> taken;
    for (int i = 0; i < count; ++i)
        if (!taken.emplace_back(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) && errno == EMFILE) return false;
    return true;
}

std::string_view metadata(const grpc::CallbackServerContext& context, const char* key) {
    const auto [first, last] = context.client_metadata().equal_range(key);
    if (first == last || std::next(first) != last) return {};
    return {first->second.data(), first->second.size()};
}

}  // namespace

class host_service final : public v1::Host::CallbackService {
public:
    explicit host_service(endpoint& door) : door_(door) {}

    grpc::ServerBidiReactor<v1::ControlUp, v1::ControlDown>* Control(grpc::CallbackServerContext* context) override {
        return admit<control_stream>(*context, &attachment::admit_control,
                                     [](auto to) { return std::make_shared<control_stream>(std::move(to)); });
    }
    grpc::ServerBidiReactor<v1::WorkUp, v1::WorkDown>* Work(grpc::CallbackServerContext* context) override {
        return admit<work_stream>(*context, &attachment::admit_work, [this](auto to) {
            return std::make_shared<work_stream>(std::move(to), door_.max_message_bytes_);
        });
    }

private:
    template <class Stream, class Admit, class Make>
    grpc::ServerBidiReactor<typename Stream::in_message, typename Stream::out_message>* admit(
        const grpc::CallbackServerContext& context, Admit take_place, Make make) {
        std::string why = "this connection belongs to no worker";
        if (const auto to = door_.behind(context.peer())) {
            auto stream = make(to);
            why = ((*to).*take_place)(metadata(context, "snakepit-worker"), metadata(context, "snakepit-incarnation"),
                                      metadata(context, "snakepit-token-bin"), stream);
            if (why.empty()) {
                stream->open();
                return stream.get();
            }
        }
        door_.refuse(0, why);
        return new refused_stream<typename Stream::in_message, typename Stream::out_message>(why);
    }

    endpoint& door_;
};

endpoint::endpoint(strand on, std::size_t max_message_bytes, std::shared_ptr<event_bus> events)
    : on_(std::move(on)), max_message_bytes_(max_message_bytes), events_(std::move(events)), pause_(on_) {}
endpoint::~endpoint() = default;

result<void> endpoint::open(const std::string& directory, ledger& book) {
    constexpr int wanted = 24;
    if (!has_spare_descriptors(wanted))
        return tl::unexpected(error(
            errc::launch_failed, fmt::format("fewer than {} descriptors are left to this process; raise its limit of "
                                             "open files (ulimit -n, RLIMIT_NOFILE)",
                                             wanted)));
    auto made = socket_directory::make(directory);
    if (!made) return tl::unexpected(made.error());
    const std::lock_guard lock(mutex_);
    if (closed_) return tl::unexpected(error(errc::pool_stopped, "the pool was stopped while it started"));
    directory_ = std::move(*made);
    directory_->clean_up_others();
    if (auto open = book.open(directory_->ledger_path(), directory_->own_directory()); !open) return open;
    const auto failed = [&](const std::string& what) {
        return tl::unexpected(error(errc::socket_directory, directory_->socket_path() + ": " + what));
    };
    try {
        door_.emplace(on_);
        door_->open();
        door_shield_ = fork_shield(door_->native_handle());
        ::fcntl(door_->native_handle(), F_SETFD, FD_CLOEXEC);  // asio does not; the application may start programs
        // The directory lets nobody in; the mode is the second lock, whatever the umask.
        door_->bind(asio::local::stream_protocol::endpoint(directory_->socket_path()));
        if (::chmod(directory_->socket_path().c_str(), 0600) != 0) return failed(std::strerror(errno));
        door_->listen();
    } catch (const std::system_error& e) {
        return failed(e.what());
    }
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(largest_message);
    builder.SetMaxSendMessageSize(largest_message);
    service_ = std::make_unique<host_service>(*this);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    if (!server_) return tl::unexpected(error(errc::launch_failed, "gRPC did not start a server"));
    accept();
    return {};
}

std::string endpoint::address() const {
    const std::lock_guard lock(mutex_);
    return directory_ ? "unix:" + directory_->socket_path() : std::string();
}

std::string endpoint::admin_path() const {
    const std::lock_guard lock(mutex_);
    return directory_ ? directory_->admin_path() : std::string();
}

void endpoint::accept() {
    door_->async_accept([self = shared_from_this()](const asio::error_code& failed, auto peer) {
        if (failed == asio::error::operation_aborted || !self->door_->is_open()) return;
        if (!failed) {
            self->admit(std::move(peer));
            return self->accept();
        }
        // No descriptor left, or the like: the door stays, but not as a busy loop.
        self->pause_.expires_after(std::chrono::milliseconds(50));
        self->pause_.async_wait([self](const asio::error_code& stopped) {
            if (!stopped && self->door_->is_open()) self->accept();
        });
    });
}

void endpoint::admit(asio::local::stream_protocol::socket peer) {
    ::fcntl(peer.native_handle(), F_SETFD, FD_CLOEXEC);
    ucred who{};
    socklen_t size = sizeof who;
    const bool known = ::getsockopt(peer.native_handle(), SOL_SOCKET, SO_PEERCRED, &who, &size) == 0;
    std::unique_lock lock(mutex_);
    const auto expected = known && who.uid == ::geteuid() ? by_pid_.find(who.pid) : by_pid_.end();
    if (closed_ || expected == by_pid_.end() ||
        !expected->second->bind(unique_fd(::fcntl(peer.native_handle(), F_DUPFD_CLOEXEC, 3)))) {
        lock.unlock();
        return refuse(who.pid,
                      known && who.uid != ::geteuid() ? "a process of another user" : "no worker that is awaited");
    }
    const int fd = peer.release();
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);  // gRPC needs it, or the stream never starts
    by_connection_[fmt::format("fd:{}", fd)] = expected->second;
    grpc::AddInsecureChannelFromFd(server_.get(), fd);  // gRPC owns fd from here
}

void endpoint::refuse(int pid, std::string why) {
    ++refused_;
    events_->publish([&] { return happened::connection_refused{pid, std::move(why)}; });
}

std::shared_ptr<attachment> endpoint::behind(const std::string& connection) const {
    const std::lock_guard lock(mutex_);
    const auto it = by_connection_.find(connection);
    return it == by_connection_.end() ? nullptr : it->second;
}

void endpoint::expect(std::shared_ptr<attachment> who) {
    const std::lock_guard lock(mutex_);
    if (!closed_) by_pid_[who->who().pid] = std::move(who);
}

void endpoint::forget(const attachment& who) {
    const std::lock_guard lock(mutex_);
    std::erase_if(by_pid_, [&](const auto& entry) { return entry.second.get() == &who; });
    std::erase_if(by_connection_, [&](const auto& entry) { return entry.second.get() == &who; });
}

void endpoint::close() noexcept {
    std::unique_lock lock(mutex_);
    if (std::exchange(closed_, true)) return;
    const auto connections = std::exchange(by_pid_, {});
    by_connection_.clear();
    const auto server = std::move(server_);
    directory_.reset();
    lock.unlock();
    asio::post(on_, [self = shared_from_this()] {
        asio::error_code none;
        self->door_shield_.lift();
        if (self->door_) self->door_->close(none);
        self->pause_.cancel();
    });
    for (const auto& [pid, who] : connections) who->cut("the pool has ended");
    if (server) {
        server->Shutdown(std::chrono::system_clock::now());
        server->Wait();
    }
}

}  // namespace snakepit::detail
