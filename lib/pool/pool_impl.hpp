#pragma once
// What a pool is made of, and how it comes up and goes down.

#include "async/cancellation.hpp"
#include "host/registry.hpp"
#include "pool/group.hpp"
#include "pool/stream_core.hpp"
#include "pool/switchboard.hpp"
#include "process/worker_source.hpp"
#include "session/session_host.hpp"
#include "session/sweeper.hpp"
#include "telemetry/pool_telemetry.hpp"
#include "wire/endpoint.hpp"

#include <snakepit/async.hpp>
#include <snakepit/options.hpp>
#include <snakepit/stats.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit::detail {

class admin_server;
class hedge;

/// A call, for those who give it up by themselves.
struct begun_call {
    std::shared_ptr<switchboard> board;
    std::weak_ptr<call> what;
    std::weak_ptr<hedge> attempts{};  ///< if there may be a second one: these are to be given up
};

/** @par Thread safety  the public members from any thread; the rest belongs to the strand, or to the mutex */
class pool_impl : public std::enable_shared_from_this<pool_impl> {
public:
    pool_impl(asio::any_io_executor on, pool_options options);

    void begin_start(completion<result<void>> done);
    void begin_stop(completion<result<void>> done);
    void begin_recycle(std::optional<std::string> worker, completion<result<void>> done);
    /// @param group  a name; nothing: the pool's own workers
    void begin_resize(std::optional<std::string> group, worker_count to, completion<result<void>> done);
    /// @param served  filled in when the call has a value; null: nobody asks
    /// @param begun   filled in before this returns, unless the call has failed already; null: nobody asks
    void begin_execute(std::string tool, value arguments, call_options options, completion<result<value>> done,
                       std::shared_ptr<served_by> served = nullptr, begun_call* begun = nullptr);
    void begin_execute_reply(std::string tool, value arguments, call_options options, completion<result<reply>> done);
    /// @param on  of the caller's: its frames leave by it
    [[nodiscard]] std::shared_ptr<stream_core> open_stream(std::string tool, const value& arguments,
                                                           const call_options& options,
                                                           const asio::any_io_executor& on);
    [[nodiscard]] std::vector<tool_spec> tools() const;
    [[nodiscard]] pool_stats stats() const;
    [[nodiscard]] std::vector<worker_stats> workers() const;
    /// What happens in the pool, for whoever wants to know; also before the start.
    [[nodiscard]] const std::shared_ptr<event_bus>& events() const noexcept { return telemetry_.events(); }
    [[nodiscard]] pool_telemetry& telemetry() noexcept { return telemetry_; }
    void set_log_level(snakepit::log_level least);

    // For operators.

    /// No more calls are let in; those that were go on. Host tools' calls still are, so that these can end.
    void drain();
    void resume();
    /// The Python stacks of a worker's threads.
    void begin_stacks(std::string worker, completion<result<std::string>> done);
    /// Kills a worker's process, as a crash would.
    /// @return  or errc::bad_arguments: there is no such worker
    [[nodiscard]] result<void> kill(const std::string& worker);
    /// @return  or errc::bad_arguments: there is no such worker; with those that there are
    [[nodiscard]] result<void> check_worker(const std::string& id) const;
    [[nodiscard]] snakepit::log_level least_logged() const noexcept { return telemetry_.log_level(); }
    /// "starting", "running", "stopping" or "stopped". The strand's.
    [[nodiscard]] std::string_view phase_name() const noexcept;
    [[nodiscard]] const pool_options& options() const noexcept { return options_; }
    [[nodiscard]] host_registry& host_tools() const noexcept { return *host_tools_; }
    /// Outlives the pool in the hands of its handles.
    [[nodiscard]] const std::shared_ptr<session_host>& sessions() const noexcept { return sessions_; }
    [[nodiscard]] const asio::any_io_executor& executor() const noexcept { return on_; }
    /// The pool object is destroyed: everything ends, with or without the executor.
    void end_now() noexcept;

private:
    enum class phase { fresh, starting, running, stopping, stopped };
    struct waiter {
        completion<result<void>> done;
    };

    static asio::awaitable<result<void>> start(std::shared_ptr<pool_impl> self);
    static asio::awaitable<result<void>> bring_up(std::shared_ptr<pool_impl> self);
    static asio::awaitable<void> bring_down(std::shared_ptr<pool_impl> self);
    void resize(const std::optional<std::string>& group, worker_count to, const crew::listener& done);
    [[nodiscard]] result<void> open_admin();
    [[nodiscard]] std::shared_ptr<const groups> make_groups();
    [[nodiscard]] std::shared_ptr<const groups> look_at_groups() const;
    void request_stop();
    [[nodiscard]] result<std::shared_ptr<switchboard>> board_of(const std::string& tool) const;
    void tell_of_refusal(const std::string& tool, const error& why) const;
    result<call_ptr> make_call(std::string& tool, const value& arguments, const call_options& options);
    void set_alarm(call::clock::time_point at);
    void arm();
    void let_go_when_cancelled(const std::shared_ptr<waiter>& w, const char* words);
    void add_waiter(std::shared_ptr<waiter> w);

    const asio::any_io_executor on_;
    const asio::strand<asio::any_io_executor> strand_;
    const pool_options options_;
    pool_telemetry telemetry_;
    std::atomic<bool> draining_ = false;
    const std::shared_ptr<session_host> sessions_;
    const std::shared_ptr<host_registry> host_tools_ = std::make_shared<host_registry>();
    const std::shared_ptr<deadlock_watch> deadlocks_ = std::make_shared<deadlock_watch>();

    // The strand's.
    phase phase_ = phase::fresh;
    asio::steady_timer alarm_;
    call::clock::time_point alarm_at_ = call::clock::time_point::max();
    std::vector<std::shared_ptr<waiter>> stop_waiters_;
    std::shared_ptr<sweeper> sweeper_;  // null: sessions live elsewhere

    // The mutex's: what end_now and stats need from any thread.
    mutable std::mutex mutex_;
    bool ended_ = false;
    std::shared_ptr<ledger> book_;
    std::shared_ptr<worker_source> source_;
    std::shared_ptr<endpoint> endpoint_;
    std::shared_ptr<admin_server> admin_;                                // null: there is none
    std::shared_ptr<const groups> groups_ = std::make_shared<groups>();  // empty until they are made
};

}  // namespace snakepit::detail
