#include "stress/chaos/disturbance.hpp"

#include "process/pidfd.hpp"
#include "stress/chaos/waiting.hpp"
#include "support/surroundings.hpp"

#include <snakepit/async.hpp>

#include <unistd.h>
#include <algorithm>
#include <asio/bind_executor.hpp>
#include <asio/steady_timer.hpp>
#include <csignal>

namespace snakepit::chaos {
namespace {

using namespace std::chrono_literals;

constexpr auto hang_limit = 700ms;

/// One process for good: its number may be another's later.
class process_handle {
public:
    explicit process_handle(int pid) : fd_(detail::open_pidfd(pid)) {}
    /// @return  whether it was there
    [[nodiscard]] bool send(int signal) const { return fd_ && detail::send_signal(fd_.get(), signal); }

private:
    detail::unique_fd fd_;
};

}  // namespace

asio::awaitable<void> disturbance::run(std::shared_ptr<disturbance> self, std::vector<planned> schedule) {
    const auto begun = clock::now();
    for (const auto& p : schedule) {
        co_await wait_until(begun + p.at);
        if (self->act(p)) ++self->done_[p.what];
    }
    co_await wait_until(self->last_continue_ + 1ms);
}

bool disturbance::act(const planned& p) {
    switch (p.what) {
        case deed::kill: return process_handle(worker(p).pid).send(SIGKILL);
        case deed::segfault: return process_handle(worker(p).pid).send(SIGSEGV);
        case deed::kill_any: return kill_any(p);
        case deed::kill_launcher: return kill_launcher();
        case deed::pause: return pause(p);
        case deed::exit: return ask("leave", p.amount, 10s);
        case deed::hang: return ask("hang", 0, hang_limit);
        case deed::ignore_cancel: return ask("ignore_cancel", 0, hang_limit);
        case deed::hang_in_c: return ask("hang_in_c", 0, call_options::no_timeout);
        case deed::hold_gil: return ask("hold_gil", p.amount, 10s);
        case deed::block_loop: return ask("block_loop", p.amount, 10s);
        case deed::flood_stderr: return ask("flood_stderr", p.amount, 10s);
        case deed::raise: return ask("fail", 0, 10s);
        case deed::leak: return ask("leak", p.amount, 10s);
        case deed::leave_child: return ask("leave_child", p.amount, 10s);
        case deed::recycle:
        case deed::recycle_all: return recycle(p);
        case deed::resize: return resize(p);
    }
    return false;
}

/// Whichever worker gets it.
bool disturbance::ask(std::string_view tool, unsigned amount, clock::duration timeout) {
    load_->make({tool, amount, timeout, {}});
    return true;
}

bool disturbance::kill_any(const planned& p) {
    for (const auto& launcher : test::children_of(::getpid()))
        if (const auto all = test::children_of(launcher.pid); !all.empty())
            return process_handle(all[p.who % all.size()].pid).send(SIGKILL);
    return false;
}

bool disturbance::kill_launcher() {
    const auto launchers = test::children_of(::getpid());
    return !launchers.empty() && process_handle(launchers.front().pid).send(SIGKILL);
}

bool disturbance::pause(const planned& p) {
    const auto held = std::make_shared<process_handle>(worker(p).pid);
    if (!held->send(SIGSTOP)) return false;
    const auto until = clock::now() + std::chrono::milliseconds(p.amount);
    last_continue_ = std::max(last_continue_, until);
    const auto timer = std::make_shared<asio::steady_timer>(on_, until);
    timer->async_wait([held, timer](const asio::error_code&) { (void)held->send(SIGCONT); });
    return true;
}

bool disturbance::recycle(const planned& p) {
    // Whether it can be done depends on what else is done to that worker.
    auto ignore = asio::bind_executor(on_, [](const result<void>&) {});
    if (p.what == deed::recycle_all) async_recycle_all(pool_, ignore);
    else async_recycle(pool_, worker(p).id, ignore);
    return true;
}

/// Whoever is one too many finishes what it holds, while more trouble comes.
bool disturbance::resize(const planned& p) {
    const auto size = static_cast<int>(p.amount);
    async_resize(pool_, {.min = size, .max = size}, asio::bind_executor(on_, [](const result<void>&) {}));
    return true;
}

worker_stats disturbance::worker(const planned& p) const {
    const auto workers = pool_.stats().workers;
    return workers.at(p.who % workers.size());
}

}  // namespace snakepit::chaos
