// Strict affinity while all workers are replaced, over and over: each call is served by the process that served its
// session's last one, which remembers that, or its reply says that the session has moved.

#include "faults/loaded_pool.hpp"
#include "perf_report.hpp"

#include <fmt/format.h>
#include <asio/co_spawn.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/use_future.hpp>
#include <atomic>
#include <exception>
#include <optional>
#include <string>
#include <thread>

namespace snakepit::perf {
namespace {

constexpr int workers = 4;
constexpr int sessions = 1'000;
constexpr int calls_each = 100;

/// A pool on a thread of its own. All the figures are that thread's until `open` is 0.
class rig {
public:
    rig() : pool_(io_.get_executor(), loaded_pool::options(workers)) {
        thread_ = std::thread([this] { io_.run(); });
        const auto up = async_start(pool_, asio::use_future).get();
        if (up) return;
        end();
        throw std::runtime_error(up.error().full());
    }
    ~rig() {
        (void)async_stop(pool_, asio::use_future).get();
        end();
    }
    rig(const rig&) = delete;
    rig& operator=(const rig&) = delete;

    void begin() {
        open = sessions;
        for (int i = 0; i < sessions; ++i)
            asio::co_spawn(io_, use(fmt::format("user-{}", i)), [](const std::exception_ptr& escaped) {
                if (escaped) std::rethrow_exception(escaped);
            });
    }
    void recycle_all() {
        const auto done = async_recycle_all(pool_, asio::use_future).get();
        if (!done) throw std::runtime_error(done.error().full());
    }

    std::atomic<int> open = 0;
    int served = 0;
    int failed = 0;
    int misplaced = 0;
    int moved = 0;

private:
    asio::awaitable<void> use(std::string key) {
        const value pause = 200e-6;  // the replacements are to have time
        const auto how = call_options().session(std::move(key)).affinity(affinity::strict).timeout(60s);
        int pid = 0;
        int count = 0;
        for (int i = 0; i < calls_each; ++i) {
            const auto got = co_await pool_.execute_reply("remember", pause, how);
            if (!got) {
                ++failed;
                fmt::print(stderr, "{}\n", got.error().full());
                continue;
            }
            ++served;
            const auto here = got->result[0].get<int>();
            const auto known = got->result[1].get<int>();
            if (got->moved) ++moved;
            const bool is_new = i == 0 || got->moved;
            if (is_new ? here == pid || known != 1 : here != pid || known != count + 1) ++misplaced;
            pid = here;
            count = known;
        }
        --open;
    }
    void end() {
        work_.reset();
        thread_.join();
    }

    asio::io_context io_{1};
    std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_{io_.get_executor()};
    std::thread thread_;
    pool pool_;
};

void run() {
    rig all;
    const auto begun = clock::now();
    all.begin();
    int rounds = 0;
    while (all.open > 0) {
        all.recycle_all();
        ++rounds;
    }
    const auto seconds = std::chrono::duration<double>(clock::now() - begun).count();
    const auto against =
        fmt::format("strict, {} sessions, {} calls of 0.2 ms, {} workers, all replaced {} times meanwhile", sessions,
                    sessions * calls_each, workers, rounds);
    report r;
    r.at_most(0, "affinity.misplaced", all.misplaced, "calls", against);
    r.at_most(0, "affinity.failed", all.failed, "calls", against);
    r.row("affinity.moved", all.moved, "calls", "served by another worker than the session's last one, and said so");
    r.row("affinity.calls_per_second", all.served / seconds, "calls/s");
}

}  // namespace
}  // namespace snakepit::perf

int main() { return snakepit::perf::run_suite("affinity", snakepit::perf::run); }
