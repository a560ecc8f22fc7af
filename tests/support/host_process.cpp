#include "support/host_process.hpp"

#include "process/pidfd.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

extern char** environ;

namespace snakepit::test {
namespace {

/// @return  whether it is readable
bool wait_readable(int fd, clock::time_point until) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()).count();
        pollfd wanted{fd, POLLIN, 0};
        const int ready = ::poll(&wanted, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
        if (ready >= 0 || errno != EINTR) return ready > 0;
    }
}

}  // namespace

watched_process::watched_process(int pid) : pid_(pid), pidfd_(detail::open_pidfd(pid)) {
    EXPECT_TRUE(pidfd_ && !is_gone()) << pid << " is not there to be watched";
}

bool watched_process::is_gone(clock::duration within) const {
    return !pidfd_ || wait_readable(pidfd_.get(), clock::now() + within);
}

void watched_process::kill(int signal) const { detail::send_signal(pidfd_.get(), signal); }

std::string survivors(const std::vector<watched_process>& of, clock::duration limit) {
    const auto until = clock::now() + limit;
    std::string left;
    for (const auto& p : of)
        if (!p.is_gone(until - clock::now())) left += " " + std::to_string(p.pid());
    return left;
}

host_process::host_process(const config& how) {
    auto in = detail::make_pipe();
    auto out = detail::make_pipe();
    const char* program = std::getenv("SNAKEPIT_FAULT_HOST");
    if (!in || !out || !program) throw std::runtime_error("no pipe, or SNAKEPIT_FAULT_HOST is not set");
    std::vector<std::string> words = {program, std::getenv("SNAKEPIT_TEST_SOURCES"), how.method,
                                      std::to_string(how.workers)};
    if (!how.socket_directory.empty()) words.push_back(how.socket_directory);
    std::vector<std::string> variables = {"SNAKEPIT_TEST_SCRATCH=" + how.scratch.string(),
                                          "XDG_RUNTIME_DIR=" + how.runtime.string(), how.marker};
    variables.insert(variables.end(), how.environment.begin(), how.environment.end());
    if (how.fast_pulse) variables.emplace_back("SNAKEPIT_TEST_FAST_PULSE=1");
    for (char** e = environ; *e; ++e)
        if (std::string_view(*e).substr(0, 16) != "XDG_RUNTIME_DIR=") variables.emplace_back(*e);
    std::vector<char*> argv;
    std::vector<char*> env;
    for (auto& w : words) argv.push_back(w.data());
    for (auto& v : variables) env.push_back(v.data());
    argv.push_back(nullptr);
    env.push_back(nullptr);

    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_adddup2(&files, in->first.get(), 0);
    ::posix_spawn_file_actions_adddup2(&files, out->second.get(), 1);
    pid_t pid = 0;
    const int failed = ::posix_spawn(&pid, program, &files, nullptr, argv.data(), env.data());
    ::posix_spawn_file_actions_destroy(&files);
    if (failed) throw std::system_error(failed, std::generic_category(), program);
    process_.emplace(pid);
    in_ = std::move(in->second);
    out_ = std::move(out->first);
}

host_process::~host_process() {
    process_->kill(SIGKILL);
    ::waitpid(process_->pid(), nullptr, 0);
}

void host_process::tell(const std::string& command) const {
    (void)!::write(in_.get(), (command + '\n').c_str(), command.size() + 1);
}

std::string host_process::hear(const std::string& beginning, clock::duration limit) {
    const auto until = clock::now() + limit;
    for (;;) {
        std::size_t from = 0;
        for (auto end = heard_.find('\n'); end != std::string::npos; end = heard_.find('\n', from)) {
            const auto line = heard_.substr(from, end - from);
            if (line.starts_with(beginning)) {
                heard_.erase(from, end + 1 - from);
                return line.substr(beginning.size());
            }
            from = end + 1;
        }
        char buffer[4096];
        const auto got = wait_readable(out_.get(), until) ? ::read(out_.get(), buffer, sizeof buffer) : 0;
        if (got <= 0) {
            ADD_FAILURE() << "the host did not say \"" << beginning << "\"; it said:\n" << heard_;
            return {};
        }
        heard_.append(buffer, static_cast<std::size_t>(got));
    }
}

std::vector<std::pair<int, int>> host_process::workers() {
    tell("stats");
    std::istringstream words(hear("workers:"));
    std::vector<std::pair<int, int>> all;
    char slash = 0;
    for (std::pair<int, int> w; words >> w.first >> slash >> w.second;) all.push_back(w);
    return all;
}

host_process::config HostTest::config(int workers, const std::string& method) const {
    return {method, workers, scratch().path(), runtime(), "", marker_name + "=" + marker(), false, {}};
}

std::vector<watched_process> HostTest::held(std::size_t count) const {
    const auto file = scratch().path() / "held";
    EXPECT_TRUE(eventually([&] { return line_count(file) >= count; }, 10s * slow)) << file_text(file);
    std::vector<watched_process> all;
    std::ifstream in(file);
    for (int pid = 0; in >> pid;) all.emplace_back(pid);
    return all;
}

void HostTest::add_children(const host_process& of, std::vector<watched_process>& known) {
    const auto is_known = [&](int pid) {
        return std::any_of(known.begin(), known.end(), [&](const auto& k) { return k.pid() == pid; });
    };
    for (const auto& launcher : children_of(of.process().pid())) {
        known.emplace_back(launcher.pid);
        for (const auto& child : children_of(launcher.pid))
            if (!is_known(child.pid)) known.emplace_back(child.pid);
    }
}

void HostTest::TearDown() {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(runtime(), none)) fs::remove_all(entry.path(), none);
    PoolTest::TearDown();
}

}  // namespace snakepit::test
