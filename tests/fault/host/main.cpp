// A host on its own, for tests that end it, stop it or have it fork.
// usage: fault_host SOURCES METHOD WORKERS [SOCKET_DIRECTORY]
// Commands come on stdin, a line each; what happened is said on stdout, a line each.

#include <snakepit/async.hpp>
#include <snakepit/pool.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/read_until.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <sstream>
#include <string>

namespace {

using namespace std::chrono_literals;
using snakepit::error;
using snakepit::result;
using snakepit::value;

void say(const std::string& line) { (void)!::write(STDOUT_FILENO, (line + '\n').c_str(), line.size() + 1); }

template <class T>
void say_outcome(const std::string& of, const result<T>& r) {
    say(fmt::format("{}: {}", of,
                    r ? std::string("ok") : std::to_string(r.error().code().value()) + " " + r.error().message()));
}

snakepit::pool_options options_of(char** argv) {
    const char* scratch = std::getenv("SNAKEPIT_TEST_SCRATCH");
    snakepit::pool_options how;
    how.module = "strays";
    how.python_path = {std::string(argv[1]) + "/fault/py"};
    how.environment = {{"SNAKEPIT_TEST_SCRATCH", scratch ? scratch : "/tmp"}};
    how.start_method = argv[2] == std::string("spawn") ? snakepit::start_method::spawn : snakepit::start_method::fork;
    how.workers.min = std::atoi(argv[3]);
    how.calls_per_worker = 1;
    how.drain_timeout = 300ms;
    how.stop_grace = 300ms;
    if (std::getenv("SNAKEPIT_TEST_FAST_PULSE")) how.heartbeat = {200ms, 200ms, 3, 100ms, 0.1};
    else how.heartbeat = {1min, 1min, 3, 1min, 0.1};  // what holds the GIL for ever is not to be ended by it
    how.restart_backoff = {5ms, 50ms};
    if (const char* directory = argv[4]) how.socket_directory = directory;
    return how;
}

/// In a forked child: what the pool says to everything that can be asked of it.
asio::awaitable<void> ask_all(snakepit::pool& pool) {
    say_outcome("child execute", co_await pool.execute("pid"));
    say_outcome("child recycle", co_await pool.recycle("w0"));
    say_outcome("child recycle_all", co_await pool.recycle_all());
    const snakepit::worker_count one{1, 1};
    say_outcome("child resize", co_await pool.resize(one));
    auto alice = pool.session("alice");
    say_outcome("child get", co_await alice.get("x"));
    say_outcome("child set", co_await alice.set("x", 1));
    say_outcome("child watch", co_await alice.watch());
    say_outcome("child start", co_await pool.start());
    say_outcome("child stop", co_await pool.stop());
    say(fmt::format("child sees {} workers and {} tools", pool.stats().workers.size(), pool.tools().size()));
}

class host {
public:
    explicit host(char** argv) : argv_(argv), in_(io_, ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)) {
        pool_.emplace(io_.get_executor(), options_of(argv));
    }

    void run() {
        asio::co_spawn(io_, serve(), [](std::exception_ptr failed) {
            if (failed) say("an exception escaped");
        });
        io_.run();
        say("end");
    }

private:
    asio::awaitable<void> serve() {
        const auto up = co_await pool_->start();
        say_outcome("start", up);
        if (!up) co_return;
        std::string buffer;
        for (;;) {
            asio::error_code failed;
            const auto size = co_await asio::async_read_until(in_, asio::dynamic_buffer(buffer), '\n',
                                                              asio::redirect_error(asio::use_awaitable, failed));
            if (is_child_) co_return;
            if (failed) ::_exit(0);
            const auto line = buffer.substr(0, size - 1);
            buffer.erase(0, size);
            if (line == "stop") break;
            obey(line);
        }
        say_outcome("stop", co_await pool_->stop());
    }

    void obey(const std::string& line) {
        std::istringstream words(line);
        std::string command;
        words >> command;
        if (command == "call") return call(words);
        if (command == "call-within") {
            int milliseconds = 0;
            words >> milliseconds;
            return call(words, std::chrono::milliseconds(milliseconds));
        }
        if (command == "time") return say(fmt::format("time: {}", std::time(nullptr)));
        if (command == "stats") return stats();
        if (command == "exec") ::execl("/bin/sleep", "sleep", "600", nullptr);
        if (command == "spawn") return spawn();
        if (command == "fork") return fork();
        if (command == "fork-and-run") return fork_and_run();
        say("unknown command");
    }

    /// "call TOOL ARGUMENTS", as JSON; "call-within MILLISECONDS TOOL ARGUMENTS".
    void call(std::istringstream& words, std::chrono::milliseconds limit = {}) {
        std::string tool;
        std::string arguments;
        words >> tool;
        std::getline(words, arguments);
        auto options = snakepit::call_options();
        options.timeout(limit);  // 0: none
        snakepit::async_execute(*pool_, tool, value::parse(arguments), options, [tool](const result<value>& r) {
            say(tool + ": " + (r ? r->dump() : r.error().summary()));
        });
    }

    void stats() {
        std::string line = "workers:";
        for (const auto& w : pool_->stats().workers) line += fmt::format(" {}/{}", w.pid, w.incarnation);
        say(line);
    }

    /// A program that outlives this one. No handler of pthread_atfork runs for it.
    static void spawn() {
        char program[] = "sleep";
        char time[] = "600";
        char* const arguments[] = {program, time, nullptr};
        pid_t child = 0;
        if (const int failed = ::posix_spawnp(&child, program, nullptr, nullptr, arguments, environ); failed != 0)
            return say(fmt::format("cannot spawn: {}", failed));
        say(fmt::format("child: {}", child));
    }

    /// The child asks for everything, destroys the pool, and stays.
    void fork() {
        const pid_t child = ::fork();
        if (child != 0) return say(fmt::format("child: {}", child));
        {
            asio::io_context own;
            asio::co_spawn(own, ask_all(*pool_), asio::detached);
            own.run();
            // One of its own, too.
            snakepit::pool another(own.get_executor(), options_of(argv_));
            own.restart();
            snakepit::async_start(another, [](const result<void>& r) { say_outcome("child another", r); });
            own.run();
        }
        pool_.reset();
        say("child destroyed the pool");
        for (;;) ::pause();
    }

    /// The child goes on with the same executor, as a daemon that forks itself away would.
    void fork_and_run() {
        io_.notify_fork(asio::io_context::fork_prepare);
        const pid_t child = ::fork();
        io_.notify_fork(child == 0 ? asio::io_context::fork_child : asio::io_context::fork_parent);
        if (child != 0) return say(fmt::format("child: {}", child));
        is_child_ = true;
        asio::error_code none;
        in_.close(none);
        auto report = std::make_shared<asio::steady_timer>(io_, 2s);
        report->async_wait([report](const asio::error_code&) { say("child has run on"); });
    }

    char** const argv_;
    asio::io_context io_;
    asio::posix::stream_descriptor in_;
    std::optional<snakepit::pool> pool_;
    bool is_child_ = false;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) return 2;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // when its test dies
    host(argv).run();
}
