#pragma once
// A pool on a thread of its own, and callers that each make one call after the other, with 100 bytes that come back.

#include "echo/measured.hpp"

#include <snakepit/async.hpp>
#include <snakepit/pool.hpp>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/use_future.hpp>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace snakepit::perf {

using namespace std::chrono_literals;

/// Ask again and again; the pool's own thread goes on meanwhile.
/// @throws std::runtime_error  when it takes longer than any measurement should
inline void wait_until(const std::function<bool()>& holds, const std::string& what) {
    for (const auto limit = clock::now() + 60s; !holds(); std::this_thread::sleep_for(500us))
        if (clock::now() > limit) throw std::runtime_error("waited for a minute in vain: " + what);
}

class loaded_pool {
public:
    static pool_options options(int workers) {
        const char* sources = std::getenv("SNAKEPIT_PERF_SOURCES");
        if (!sources) throw std::runtime_error("SNAKEPIT_PERF_SOURCES is not set: run ./dev perf");
        pool_options o;
        o.module = "fault_tools";
        o.python_path = {std::string(sources) + "/faults"};
        o.workers.min = workers;
        return o;
    }

    explicit loaded_pool(const pool_options& how, std::string tool = "echo")
        : tool_(std::move(tool)), pool_(io_.get_executor(), how) {
        thread_ = std::thread([this] { io_.run(); });
        const auto up = async_start(pool_, asio::use_future).get();
        if (up) return;
        work_.reset();
        thread_.join();
        throw std::runtime_error(up.error().full());
    }
    ~loaded_pool() {
        (void)end_load();
        (void)async_stop(pool_, asio::use_future).get();
        work_.reset();
        thread_.join();
    }
    loaded_pool(const loaded_pool&) = delete;
    loaded_pool& operator=(const loaded_pool&) = delete;

    [[nodiscard]] pool& get() { return pool_; }

    void begin_load(int callers) {
        over_ = false;
        running_ = callers;
        latencies_.clear();
        for (int i = 0; i < callers; ++i)
            asio::co_spawn(io_, call_on(), [](const std::exception_ptr& failed) {
                if (failed) std::rethrow_exception(failed);
            });
    }
    /// @return  the time of each call since the load began, in microseconds
    std::vector<float> end_load() {
        over_ = true;
        wait_until([this] { return running_ == 0; }, "the callers to end");
        return std::exchange(latencies_, {});
    }

    [[nodiscard]] std::uint64_t served() const { return served_; }
    [[nodiscard]] std::uint64_t failed() const { return failed_; }

    [[nodiscard]] bool is_whole() const {
        const auto workers = pool_.stats().workers;
        return std::all_of(workers.begin(), workers.end(), [](const worker_stats& w) {
            return w.state == worker_state::ready || w.state == worker_state::executing;
        });
    }
    [[nodiscard]] worker_stats worker(std::size_t i) const { return pool_.stats().workers.at(i); }

    /// Calls per second from now on.
    double rate(clock::duration time) const {
        const auto begun = clock::now();
        const auto before = served();
        std::this_thread::sleep_for(time);
        return static_cast<double>(served() - before) / std::chrono::duration<double>(clock::now() - begun).count();
    }

private:
    asio::awaitable<void> call_on() {
        const value sent = std::string(100, 'x');
        while (!over_) {
            const auto began = clock::now();
            const auto reply = co_await pool_.execute(tool_, sent);
            latencies_.push_back(microseconds_since(began));
            ++(reply && *reply == sent ? served_ : failed_);
        }
        --running_;
    }

    const std::string tool_;
    asio::io_context io_{1};
    std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_{io_.get_executor()};
    std::thread thread_;
    std::atomic<bool> over_ = false;
    std::atomic<int> running_ = 0;
    std::atomic<std::uint64_t> served_ = 0;
    std::atomic<std::uint64_t> failed_ = 0;
    std::vector<float> latencies_;  // the pool's thread's while callers run
    pool pool_;
};

/// Calls beyond the one that each death may cost: a worker executes one at a time.
inline double beyond_executing(std::uint64_t failed, std::uint64_t deaths = 1) {
    return failed > deaths ? static_cast<double>(failed - deaths) : 0;
}

}  // namespace snakepit::perf
