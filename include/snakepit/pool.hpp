#pragma once
/// @file
/// The pool: asynchronous C++ calls Python.

#include <snakepit/array.hpp>
#include <snakepit/detail/conversion.hpp>
#include <snakepit/error.hpp>
#include <snakepit/events.hpp>
#include <snakepit/export.hpp>
#include <snakepit/host_tools.hpp>
#include <snakepit/map.hpp>
#include <snakepit/options.hpp>
#include <snakepit/reply.hpp>
#include <snakepit/session.hpp>
#include <snakepit/stats.hpp>
#include <snakepit/stream.hpp>
#include <snakepit/tools.hpp>
#include <snakepit/value.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace snakepit {
namespace detail {
class pool_impl;

/// Arguments in the order given, as a list.
template <class... Args>
result<value> positional(const std::string& tool, const Args&... arguments) {
    try {
        value list = value::array();
        (list.push_back(value(arguments)), ...);
        return list;
    } catch (const std::exception& e) {
        return tl::unexpected(error(errc::unserializable, e.what()).with_tool(tool));
    }
}
}  // namespace detail

/** A pool of supervised Python worker processes.

    Runs on the caller's executor; a started pool keeps its `io_context::run()` going until `stop()` has completed or
    the pool object is destroyed. The execution context must outlive the pool.

    @par Executor  supervision, deadlines and the acceptor run on the executor given. Calls leave by the executor of
                   their caller, replies are taken in by gRPC's threads. A context that is blocked for a second delays
                   deadlines, restarts and its own calls by a second, and loses nothing.
    @par Forks          a child that the application forks has none of the pool's descriptors. Every operation there
                        ends with errc::forked, `tools` and `stats` are empty, destruction does nothing, and no new pool
                        can be started; behind an exec() all is well. Workers end with the parent, whoever lives on.
    @par Thread safety  every member may be called from any thread at any time, the destructor excepted
    @par Lifetime  destruction without `stop()` is safe: calls end with errc::pool_stopped, workers are killed, nothing
                   is left behind; it may block up to 2 s. Not from within one of gRPC's threads. */
class SNAKEPIT_API pool {
public:
    /// Does nothing yet: no process, no socket. Options are checked by `start`.
    pool(asio::any_io_executor on, pool_options options);
    ~pool();
    /// What was moved from may only be assigned to and destroyed.
    pool(pool&&) noexcept;
    /// Exchanges the two: the pool that was here lives until `other` is destroyed.
    pool& operator=(pool&&) noexcept;
    pool(const pool&) = delete;
    pool& operator=(const pool&) = delete;

    /** Find a Python, start `workers.min` workers, at least one, and wait until all are ready.

        When one of them cannot start, all are ended and the first reason is returned. A pool starts once.

        @par Errors         errc::invalid_options, python_unfit, module_failed, start_timeout, launch_failed,
                            socket_directory, protocol_mismatch, protocol_violation, already_started, pool_stopped,
                            cancelled, forked
        @par Cancellation   terminal and partial: the pool is stopped
        @par Executor       may be awaited on any executor and resumes there
        @par Thread safety  safe
        @par Lifetime       holds the pool's state; the pool object may die first */
    [[nodiscard]] asio::awaitable<result<void>> start();

    /** Run a Python tool on the least loaded worker, waiting first come, first served while all are busy (see
       `priority`).

        @param tool       name of the tool
        @param arguments  an object becomes keyword arguments, a list positional ones, anything else one argument;
                          taken by value, as is all else: nothing of the caller's must stay alive
        @param options    deadline, session, affinity
        @return  the tool's value, or an error. Never throws for an outcome listed here.
        @par Errors         errc::queue_full, deadline_exceeded, cancelled, worker_lost, poison_call, pool_degraded,
                            tool_degraded, pool_stopped, forked, not_started, unknown_tool, bad_arguments,
                            tool_raised, unserializable, message_too_large; with a session invalid_name,
       too_many_sessions, when it is strict session_busy and session_moved, see `affinity`, and when others have changed
       the session while the tool wrote without waiting (`s["x"] = 1` in Python), so that this was refused,
                            session_closed, too_many_variables, session_too_large
        @par Cancellation   terminal and partial: the caller gets errc::cancelled at once and Python is asked to stop.
                            Not total: it may already have acted. The worker's place is free when Python has ended.
        @par Executor       may be awaited on any executor and resumes there
        @par Thread safety  safe
        @par Lifetime       holds the pool's state; the pool object may die first, which ends the call */
    [[nodiscard]] asio::awaitable<result<value>> execute(std::string tool, value arguments = value::array(),
                                                         call_options options = call_options());

    /** `execute`, and who served the call.

        @return  the tool's value, its worker, and whether its session has moved; or an error, whose `error::worker`
                 says the same
        @par Errors         those of `execute`
        @par Cancellation   as for `execute`
        @par Executor       may be awaited on any executor and resumes there
        @par Thread safety  safe
        @par Lifetime       holds the pool's state; the pool object may die first, which ends the call */
    [[nodiscard]] asio::awaitable<result<reply>> execute_reply(std::string tool, value arguments = value::array(),
                                                               call_options options = call_options());

    /** Run a Python tool that yields items (a generator), takes some (`@snakepit.tool(input="name")`), or both.

        A stream is a call: it waits for a worker as one, and has one until it ends; its deadline is for all of it. With
        other tools it has no items, and the tool's value as its result.

        @param tool, arguments, options  as for `execute`. An idempotent tool is run again only while no item has come
                                         and none that was sent has been used
        @return  at once, when the call was let in or refused; never fails: a stream that was refused has no items, and
                 `stream::result` says why
        @par Errors         none; `stream::result` has those of `execute`
        @par Cancellation   none
        @par Executor       may be awaited on any executor and resumes there
        @par Thread safety  safe
        @par Lifetime       the stream holds what it needs of the pool's state; the pool object may die first, which
                            ends the stream */
    [[nodiscard]] asio::awaitable<snakepit::stream> stream(std::string tool, value arguments = value::array(),
                                                           call_options options = call_options());

    /** `execute` with C++ types: positional arguments and the result go through nlohmann's conversions, so users' own
        structs work (NLOHMANN_DEFINE_TYPE_...).

        With g++ 12 give structs as named variables, not as temporaries: it destroys aggregate temporaries in a
        co_await expression twice.

        @tparam T  type of the result; void ignores it. A number that does not go into T is errc::type_mismatch; inside
                   lists and structs nlohmann's conversions cut numbers to size
        @par Errors         those of `execute`, and errc::type_mismatch
        @par Cancellation   as for `execute`
        @par Executor       may be awaited on any executor and resumes there
        @par Thread safety  safe
        @par Lifetime       holds the pool's state; arguments are encoded before this returns */
    template <class T, class... Args>
    [[nodiscard]] asio::awaitable<result<T>> call(std::string tool, const Args&... arguments) {
        return call<T>(call_options(), std::move(tool), arguments...);
    }
    /// The same with options.
    template <class T, class... Args>
    [[nodiscard]] asio::awaitable<result<T>> call(const call_options& options, std::string tool,
                                                  const Args&... arguments) {
        auto list = detail::positional(tool, arguments...);
        return call_encoded<T>(impl_, std::move(tool), std::move(list), options);
    }

    /** Run a tool for each item of a range: an awaitable stream of results, with a bounded number of calls under way.

            auto scores = pool.map<double>("score", texts, snakepit::map_options().window(128));
            while (auto score = co_await scores.next()) use(score->index, score->outcome);

        Every item is a call of its own, as by `execute`: errors are per item, and the map goes on. Nothing happens
        before the first `next`.

        @tparam T       type of the results, as for `call`
        @param tool     name of the tool
        @param range    any input range of what can become a `value`: each item is the tool's one argument, see
                        `map_options::spread`. It is read inside `next` alone, never more than the window ahead of what
                        `next` has returned, and need not have an end. One that is given as an lvalue is referred to and
                        must live as long as the results; an rvalue is taken along; a view is copied, and what it looks
                        at must live as long
        @param options  window, order, and the options of each call
        @return  the results; their destruction cancels the calls that are under way
        @par Errors         none by itself, see `map_results::next`
        @par Thread safety  safe
        @par Lifetime       holds the pool's state; the pool object may die first, which ends the calls */
    template <class T = value, detail::mappable Range>
    [[nodiscard]] map_results<T> map(std::string tool, Range&& range, map_options options = map_options()) {
        return map_results<T>(detail::begin_map(impl_, std::move(tool),
                                                detail::map_source_of(std::forward<Range>(range)), std::move(options)));
    }

    /** A handle on the session of this key; does nothing yet. Sessions can be used before `start`, and until `stop` has
        completed: running calls may use them while the pool stops.

        @param key  UTF-8, 1 to `max_name_bytes` bytes; anything else is errc::invalid_name from the first operation */
    [[nodiscard]] snakepit::session session(std::string key) const;

    /// What Python may call; see `host_tools`. Tools can be offered before `start`, and at any time.
    [[nodiscard]] snakepit::host_tools host_tools() const;

    /// The tools of the module, in its order, those of the pool's own workers before those of each group; empty before
    /// `start()` has completed with success. When a worker that was started again has another version of the module,
    /// the newest one's.
    [[nodiscard]] std::vector<tool_spec> tools() const;

    /// Counters and workers at this moment.
    [[nodiscard]] pool_stats stats() const;

    /// The workers that there are at this moment, those that start or leave included: `stats().workers`. Empty before
    /// `start()`, and while a pool whose `workers.min` is 0 has none; after `stop()` how they ended. Safe on any
    /// thread; takes some microseconds for each worker, and does not wait.
    [[nodiscard]] std::vector<worker_stats> workers() const;

    /// What happens in the pool, as it happens; also before `start`.
    [[nodiscard]] event_source events() const;

    /// Its metrics, as Prometheus reads them (text format 0.0.4); docs/metrics.md lists them. Empty before `start()`,
    /// and when `pool_options::metrics` is false.
    /// Takes some 10 microseconds for each worker, and a few for each tool. Safe on any thread.
    [[nodiscard]] std::string metrics() const;

    /// What is logged from now on, see `log_options::level`. Safe on any thread.
    void set_log_level(log_level least);
    [[nodiscard]] snakepit::log_level log_level() const;

    /** Replace a worker: its successor is started, takes the calls over, then the old one finishes what it holds and
        ends. No call fails, and there are never fewer workers. Joins a replacement that is under way.

        @param worker  its id ("w0", "io-0")
        @return  when the old one has ended; or why the successor did not come up: the old one goes on then
        @par Errors         those of a start; bad_arguments when there is no such worker; not_started, pool_stopped,
                            cancelled, forked
        @par Cancellation   terminal and partial: stops waiting; the replacement goes on
        @par Executor       may be awaited on any executor and resumes there
        @par Thread safety  safe
        @par Lifetime       holds the pool's state; the pool object may die first */
    [[nodiscard]] asio::awaitable<result<void>> recycle(std::string worker);
    /// The same for every worker, `lifecycle.max_recycling` at once: new code is loaded, and nobody notices.
    /// With start_method::fork the module is imported anew first; when that fails all workers stay as they are.
    /// `recycle` alone forks from what was imported before.
    /// @return  the first error when all are through
    [[nodiscard]] asio::awaitable<result<void>> recycle_all();

    /** Give the pool's own workers another number, `pool_options::workers` from now on: workers that are missing for
       the new minimum are started at once, those above the new maximum leave, idle ones first. Between the two the load
       decides, as before.

        A worker that leaves gets no new calls, and finishes what it holds, however long that takes; what it was not
       sent goes to others. A later call takes the place of this one: both end with it.

        @param workers  `min` 0 to 1,000 (0 not with a `queue_limit` of 0), `max` 0 or `min` to 1,000, as for
                        `pool_options::workers`
        @return  when the workers of the new minimum are up and those above the new maximum have gone; or why a worker
                 that the minimum asks for is not up: it is tried again, as after a crash
        @par Errors         those of a start; invalid_options when the numbers are out of range; worker_lost when a
                            worker that the minimum asks for is out of service; not_started, pool_stopped, cancelled,
                            forked
        @par Cancellation   terminal and partial: stops waiting; the pool goes on to its new size
        @par Executor       may be awaited on any executor and resumes there
        @par Thread safety  safe
        @par Lifetime       holds the pool's state; the pool object may die first */
    [[nodiscard]] asio::awaitable<result<void>> resize(worker_count workers);
    /// The same for a group.
    /// @param group  a name of `pool_options::groups`, or `pool_options::group`; any other is errc::bad_arguments
    [[nodiscard]] asio::awaitable<result<void>> resize(std::string group, worker_count workers);

    /** End the pool: waiting calls end with errc::pool_stopped, also one that is just being taken back from a worker
        that had not begun it; calls that workers hold may finish within `drain_timeout`, then the ladder: asked to
        stop, SIGTERM, SIGKILL. A further call waits for the same end and
        hastens it: calls that still run have had their time, and the ladder begins.

        @par Errors         errc::cancelled and forked alone
        @par Cancellation   terminal and partial: stops waiting; the end goes on
        @par Executor       may be awaited on any executor and resumes there
        @par Thread safety  safe
        @par Lifetime       holds the pool's state; the pool object may die first */
    [[nodiscard]] asio::awaitable<result<void>> stop();

    /// For the token forms in async.hpp.
    [[nodiscard]] const std::shared_ptr<detail::pool_impl>& impl() const noexcept { return impl_; }

private:
    static asio::awaitable<snakepit::stream> stream_on(std::shared_ptr<detail::pool_impl> impl, std::string tool,
                                                       value arguments, call_options options);
    static asio::awaitable<result<reply>> execute_reply_on(std::shared_ptr<detail::pool_impl> impl, std::string tool,
                                                           value arguments, call_options options);
    static asio::awaitable<result<value>> execute_on(std::shared_ptr<detail::pool_impl> impl, std::string tool,
                                                     value arguments, call_options options);
    template <class T>
    static asio::awaitable<result<T>> call_encoded(std::shared_ptr<detail::pool_impl> impl, std::string tool,
                                                   result<value> list, call_options options) {
        if (!list) co_return tl::unexpected(std::move(list).error());
        auto reply = co_await execute_on(std::move(impl), tool, std::move(*list), std::move(options));
        co_return detail::reply_as<T>(std::move(reply), tool);
    }

    std::shared_ptr<detail::pool_impl> impl_;
};

}  // namespace snakepit
