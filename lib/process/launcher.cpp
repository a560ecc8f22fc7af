#include "process/launcher.hpp"

#include "process/package_dir.hpp"
#include "process/pidfd.hpp"
#include "process/python_candidates.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>

extern char** environ;

namespace snakepit::detail {
namespace {

constexpr auto end_limit = std::chrono::seconds(1);  // from the end of its socket to its own; mostly some milliseconds

std::vector<std::string> composed_environment(const std::map<std::string, std::string>& extra) {
    std::vector<std::string> all;
    const auto name_of = [](std::string_view entry) { return entry.substr(0, entry.find('=')); };
    for (char** e = environ; *e; ++e)
        if (!extra.contains(std::string(name_of(*e)))) all.emplace_back(*e);
    for (const auto& [name, text] : extra) all.push_back(name + "=" + text);
    return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> p;
    for (auto& t : texts) p.push_back(t.data());
    p.push_back(nullptr);
    return p;
}

/// posix_spawn with a clean slate: default signals, nothing blocked, only the descriptors 0 to 3.
result<int> spawn_process(std::vector<std::string> argv, std::vector<std::string> env, int socket, int complaints) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawnattr_init(&attributes);
    // Away from 0 to 3 first, or one of the two could be overwritten by the other.
    const unique_fd s(::fcntl(socket, F_DUPFD_CLOEXEC, 10));
    const unique_fd c(::fcntl(complaints, F_DUPFD_CLOEXEC, 10));
    ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&files, c.get(), 1);
    ::posix_spawn_file_actions_adddup2(&files, c.get(), 2);
    ::posix_spawn_file_actions_adddup2(&files, s.get(), 3);
    ::posix_spawn_file_actions_addclosefrom_np(&files, 4);
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    auto args = pointers(argv);
    auto vars = pointers(env);
    pid_t pid = 0;
    const int failed = ::posix_spawn(&pid, args[0], &files, &attributes, args.data(), vars.data());
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
    if (failed) {
        const bool short_of_something = failed == EAGAIN || failed == ENOMEM || failed == EMFILE || failed == ENFILE;
        return tl::unexpected(error(short_of_something ? errc::launch_failed : errc::python_unfit,
                                    fmt::format("cannot run {}: {}", argv[0], std::strerror(failed))));
    }
    return pid;
}

shielded_fd second_descriptor(const shielded_fd& of) {
    const fork_pause no_fork;
    return {unique_fd(::fcntl(of.get(), F_DUPFD_CLOEXEC, 3)), no_fork};
}

void reap(int pidfd) {
    siginfo_t info{};
    // ECHILD where the application ignores SIGCHLD or reaps everything by itself: nothing is left to do then.
    while (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED) != 0 && (errno == EINTR || errno == EAGAIN)) {
        pollfd gone{pidfd, POLLIN, 0};  // asio has made the pidfd non-blocking
        ::poll(&gone, 1, -1);
    }
}

std::string all_of(int pipe) {
    std::string text(8 << 10, '\0');
    const auto got = ::read(pipe, text.data(), text.size());
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
}

}  // namespace

launcher::launcher(strand on, config how) : on_(std::move(on)), how_(std::move(how)), start_(on_) {}
launcher::~launcher() { close(); }

result<void> launcher::boot(const std::string& python) {
    if (closed_) return tl::unexpected(pool_is_stopping());
    auto dir = package_dir();
    if (!dir) return tl::unexpected(dir.error());
    auto sockets = make_own_socket_pair(SOCK_SEQPACKET);
    if (!sockets) return tl::unexpected(sockets.error());
    auto complaints = make_pipe();
    if (!complaints) return tl::unexpected(complaints.error());
    auto pid = spawn_process({python, *dir + "/_boot.py", "launcher", "--fd", "3"},
                             composed_environment(how_.environment), sockets->theirs.get(), complaints->second.get());
    if (!pid) return tl::unexpected(pid.error());
    {
        const std::lock_guard lock(mutex_);
        pid_ = *pid;
        pidfd_ = shielded_fd(open_pidfd(*pid));
        hang_up_ = second_descriptor(sockets->ours);
        if (how_.book && pidfd_) how_.book->record("launcher", *pid, pidfd_.get());
        if (closed_) hang_up();  // close() came before there was anything to close
        if (!pidfd_ || !hang_up_) {
            ::kill(*pid, SIGKILL);
            ::waitpid(*pid, nullptr, 0);
            pidfd_.reset();
            return tl::unexpected(error(errc::launch_failed, "no descriptor left to watch the launcher process"));
        }
    }
    ::fcntl(complaints->first.get(), F_SETFL, O_NONBLOCK);
    ::fcntl(complaints->first.get(), F_SETPIPE_SZ, 1 << 20);  // read only when it fails: a noisy start must not block
    complaints_ = std::move(complaints->first);
    channel_ = std::make_shared<request_channel>(on_, std::move(sockets->ours), "the launcher process", how_.timeout);
    return {};
}

asio::awaitable<result<value>> launcher::greeting() {
    auto heard = co_await request_channel::greeting(channel_);
    if (closed_) co_return tl::unexpected(error(errc::pool_stopped, "the pool was stopped while it started"));
    if (heard || heard.error() == errc::start_timeout) co_return heard;
    co_return tl::unexpected(error(errc::python_unfit, "it ended at once; " + all_of(complaints_.get())));
}

asio::awaitable<result<void>> launcher::try_pythons(std::shared_ptr<launcher> self) {
    std::string reasons;
    bool late = false;
    const auto reject = [&](const std::string& path, const std::string& origin, const std::string& why) {
        reasons += fmt::format("\n  {} ({}): {}", path, origin, why);
    };
    auto dir = package_dir();
    if (!dir) co_return tl::unexpected(dir.error());
    auto candidates = self->chosen_.empty() ? python_candidates(self->how_.python)
                                            : std::vector<python_candidate>{{self->chosen_, "chosen before", true}};
    for (const auto& c : candidates) {
        if (!c.exists) {
            reject(c.path, c.origin, "there is no such program");
            continue;
        }
        if (auto up = self->boot(c.path); !up) {
            if (up.error() != errc::python_unfit) co_return up;  // the next one would not get further
            reject(c.path, c.origin, up.error().message());
            continue;
        }
        auto hello = co_await self->greeting();
        if (hello && hello->contains("ready")) {
            self->chosen_ = c.path;
            self->complaints_.reset();
            self->listen();
            co_return result<void>();
        }
        if (self->closed_) co_return tl::unexpected(hello.error());
        std::string why;
        if (!hello) why = hello.error().message();
        else if (const auto unfit = hello->find("unfit"); unfit != hello->end() && unfit->is_object())
            why = text_of(*unfit, "reason");
        if (why.empty()) why = "it said nothing that can be understood";
        late = late || (!hello && hello.error() == errc::start_timeout);
        reject(c.path, c.origin, why);
        self->lost(error(errc::launch_failed, why));
    }
    if (late)
        co_return tl::unexpected(error(errc::start_timeout, "no Python was ready to run workers in time:" + reasons));
    co_return tl::unexpected(error(errc::python_unfit,
                                   "no Python here can run workers; install Debian's python3-grpcio, python3-protobuf "
                                   "and python3-msgpack, or name one with pool_options::python:" +
                                       reasons));
}

asio::awaitable<result<void>> launcher::start(std::shared_ptr<launcher> self) {
    co_return co_await self->start_.run(try_pythons(self));
}

asio::awaitable<result<worker_process>> launcher::spawn(std::shared_ptr<launcher> self, kind what, worker_fds fds,
                                                        on_exit ended) {
    if (self->closed_) co_return tl::unexpected(pool_is_stopping());
    result<void> up;
    if (self->start_.busy()) up = co_await self->start_.idle();
    else if (!self->channel_) up = co_await start(self);
    if (!up) co_return tl::unexpected(up.error());
    const auto channel = self->channel_;
    if (!channel) co_return tl::unexpected(error(errc::launch_failed, "the launcher process ended at once"));
    const auto id = ++self->last_id_;
    self->alive_.emplace(id, std::move(ended));
    auto process =
        co_await request_channel::ask(channel, id, what == kind::worker ? "spawn" : "zygote", std::move(fds));
    if (!process) self->alive_.erase(id);
    co_return process;
}

void launcher::watch(int pidfd, on_exit ended) {
    if (!channel_) return ended(std::nullopt);
    const auto id = ++last_id_;
    alive_.emplace(id, std::move(ended));
    channel_->tell({{"op", "watch"}, {"id", id}}, {pidfd});
}

void launcher::listen() {
    const auto weak = weak_from_this();
    channel_->listen({[weak](const value& news) {
                          if (const auto me = weak.lock()) me->handle(news);
                      },
                      [weak](const error& why) {
                          if (const auto me = weak.lock()) me->lost(why);
                      }});
}

/// How a process has ended, or that nobody can know.
void launcher::handle(const value& news) {
    const auto exited = number_of(news, "exited");
    const auto id = exited ? exited : number_of(news, "failed");
    const auto it = id ? alive_.find(*id) : alive_.end();
    if (it == alive_.end()) return;
    const auto ended = std::move(it->second);
    alive_.erase(it);
    const auto status = number_of(news, "status");
    ended(exited && status ? std::optional(static_cast<int>(*status)) : std::nullopt);
}

/// The process is gone or of no use. The next spawn starts another.
void launcher::lost(const error& why) {
    if (const auto channel = std::exchange(channel_, nullptr)) channel->close(why);
    {
        const std::lock_guard lock(mutex_);
        hang_up_.reset();
        if (pidfd_ && !closed_) {  // else end() or close() waits for it
            kill_group();
            reap(pidfd_.get());
            pidfd_.reset();
        }
    }
    for (const auto& [id, ended] : std::exchange(alive_, {})) ended(std::nullopt);
}

/// The process and what it has started beside workers: the Python given may be a script that runs another program.
void launcher::kill_group() noexcept {
    // Not reaped yet, so that the number of its group is still its own; unless the application reaps every child, and
    // then the pidfd tells.
    if (send_signal(pidfd_.get(), 0)) ::kill(-pid_, SIGKILL);
    send_signal(pidfd_.get(), SIGKILL);
}

/// Under the mutex. The end of its socket tells it to kill the workers and go.
void launcher::hang_up() noexcept {
    if (hang_up_) ::shutdown(hang_up_.get(), SHUT_RDWR);
}

void launcher::refuse() {
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        if (start_.busy()) hang_up();
    }
    if (channel_) channel_->refuse(pool_is_stopping());
}

asio::awaitable<void> launcher::end(std::shared_ptr<launcher> self) {
    self->refuse();
    int watched = -1;
    {
        const std::lock_guard lock(self->mutex_);
        self->hang_up();
        if (self->pidfd_) watched = ::fcntl(self->pidfd_.get(), F_DUPFD_CLOEXEC, 3);
    }
    if (watched >= 0) {
        auto gone = std::make_shared<asio::posix::stream_descriptor>(self->on_, watched);
        asio::steady_timer limit(self->on_, end_limit);
        limit.async_wait([gone](const asio::error_code& stopped) {
            if (!stopped) gone->cancel();
        });
        asio::error_code woken;
        co_await gone->async_wait(asio::posix::stream_descriptor::wait_read,
                                  asio::redirect_error(asio::use_awaitable, woken));
    }
    self->close();
}

void launcher::close() noexcept {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    hang_up();
    hang_up_.reset();
    if (!pidfd_) return;
    const auto until = std::chrono::steady_clock::now() + end_limit;
    pollfd gone{pidfd_.get(), POLLIN, 0};
    const auto left = [&] {
        const auto time = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        return static_cast<int>(std::max<std::int64_t>(time.count(), 0));
    };
    while (::poll(&gone, 1, left()) < 0 && errno == EINTR) {
    }
    kill_group();
    reap(pidfd_.get());
    pidfd_.reset();
}

}  // namespace snakepit::detail
