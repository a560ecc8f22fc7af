#include "pool/pool_impl.hpp"
#include "session/session_state.hpp"

#include <snakepit/async.hpp>
#include <snakepit/pool.hpp>

#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

namespace snakepit {
namespace detail {

void begin_start(std::shared_ptr<pool_impl> impl, completion<result<void>> done) { impl->begin_start(std::move(done)); }
void begin_stop(std::shared_ptr<pool_impl> impl, completion<result<void>> done) { impl->begin_stop(std::move(done)); }
void begin_recycle(std::shared_ptr<pool_impl> impl, std::optional<std::string> worker, completion<result<void>> done) {
    impl->begin_recycle(std::move(worker), std::move(done));
}
void begin_resize(std::shared_ptr<pool_impl> impl, std::optional<std::string> group, worker_count to,
                  completion<result<void>> done) {
    impl->begin_resize(std::move(group), to, std::move(done));
}
void begin_execute(std::shared_ptr<pool_impl> impl, std::string tool, value arguments, call_options options,
                   completion<result<value>> done) {
    impl->begin_execute(std::move(tool), std::move(arguments), std::move(options), std::move(done));
}
void begin_execute_reply(std::shared_ptr<pool_impl> impl, std::string tool, value arguments, call_options options,
                         completion<result<reply>> done) {
    impl->begin_execute_reply(std::move(tool), std::move(arguments), std::move(options), std::move(done));
}
stream open_stream(const std::shared_ptr<pool_impl>& impl, std::string tool, const value& arguments,
                   const call_options& options, const asio::any_io_executor& on) {
    return stream(impl->open_stream(std::move(tool), arguments, options, on));
}
asio::any_io_executor executor_of(const pool_impl& impl) { return impl.executor(); }

namespace {

// Nothing announces a cancellation that came before: each operation looks for itself. The awaitable takes the pool's
// state by value, so that the pool object may go meanwhile.
asio::awaitable<bool> cancelled_before() {
    const auto state = co_await asio::this_coro::cancellation_state;
    co_return state.cancelled() != asio::cancellation_type::none;
}

error cancelled_error() { return {errc::cancelled, "the caller had been cancelled before it asked"}; }

/// Awaits one of the `begin_` functions.
template <class... Args>
asio::awaitable<result<void>> await(std::shared_ptr<pool_impl> impl,
                                    void (*begin)(std::shared_ptr<pool_impl>, std::type_identity_t<Args>...,
                                                  completion<result<void>>),
                                    Args... args) {
    if (co_await cancelled_before()) co_return tl::unexpected(cancelled_error());
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(result<void>)>(
        [](auto handler, auto start, std::shared_ptr<pool_impl> to, Args... given) {
            const auto home = to->executor();
            start(std::move(to), std::move(given)..., {std::move(handler), home});
        },
        asio::use_awaitable, begin, std::move(impl), std::move(args)...);
}

}  // namespace
}  // namespace detail

pool::pool(asio::any_io_executor on, pool_options options)
    : impl_(std::make_shared<detail::pool_impl>(std::move(on), std::move(options))) {}
pool::~pool() {
    if (impl_) impl_->end_now();
}
pool::pool(pool&&) noexcept = default;
pool& pool::operator=(pool&& other) noexcept {
    std::swap(impl_, other.impl_);
    return *this;
}

asio::awaitable<result<void>> pool::start() { return detail::await(impl_, detail::begin_start); }
asio::awaitable<result<void>> pool::stop() { return detail::await(impl_, detail::begin_stop); }

asio::awaitable<result<void>> pool::recycle(std::string worker) {
    return detail::await(impl_, detail::begin_recycle, std::optional(std::move(worker)));
}
asio::awaitable<result<void>> pool::recycle_all() {
    return detail::await(impl_, detail::begin_recycle, std::optional<std::string>());
}

asio::awaitable<result<void>> pool::resize(worker_count workers) {
    return detail::await(impl_, detail::begin_resize, std::optional<std::string>(), workers);
}
asio::awaitable<result<void>> pool::resize(std::string group, worker_count workers) {
    return detail::await(impl_, detail::begin_resize, std::optional(std::move(group)), workers);
}

asio::awaitable<result<value>> pool::execute(std::string tool, value arguments, call_options options) {
    return execute_on(impl_, std::move(tool), std::move(arguments), std::move(options));
}

asio::awaitable<result<value>> pool::execute_on(std::shared_ptr<detail::pool_impl> impl, std::string tool,
                                                value arguments, call_options options) {
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
        co_return tl::unexpected(detail::cancelled_error().with_tool(std::move(tool)));
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(result<value>)>(
        [](auto handler, std::shared_ptr<detail::pool_impl> to, std::string name, value given, call_options how) {
            const auto home = to->executor();
            to->begin_execute(std::move(name), std::move(given), std::move(how), {std::move(handler), home});
        },
        asio::use_awaitable, std::move(impl), std::move(tool), std::move(arguments), std::move(options));
}

asio::awaitable<result<reply>> pool::execute_reply(std::string tool, value arguments, call_options options) {
    return execute_reply_on(impl_, std::move(tool), std::move(arguments), std::move(options));
}

asio::awaitable<result<reply>> pool::execute_reply_on(std::shared_ptr<detail::pool_impl> impl, std::string tool,
                                                      value arguments, call_options options) {
    if (co_await detail::cancelled_before())
        co_return tl::unexpected(detail::cancelled_error().with_tool(std::move(tool)));
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(result<reply>)>(
        [](auto handler, std::shared_ptr<detail::pool_impl> to, std::string name, value given, call_options how) {
            const auto home = to->executor();
            to->begin_execute_reply(std::move(name), std::move(given), std::move(how), {std::move(handler), home});
        },
        asio::use_awaitable, std::move(impl), std::move(tool), std::move(arguments), std::move(options));
}

asio::awaitable<snakepit::stream> pool::stream(std::string tool, value arguments, call_options options) {
    return stream_on(impl_, std::move(tool), std::move(arguments), std::move(options));
}

asio::awaitable<snakepit::stream> pool::stream_on(std::shared_ptr<detail::pool_impl> impl, std::string tool,
                                                  value arguments, call_options options) {
    const asio::any_io_executor on = co_await asio::this_coro::executor;
    co_return snakepit::stream(impl->open_stream(std::move(tool), arguments, options, on));
}

snakepit::session pool::session(std::string key) const {
    return snakepit::session(std::make_shared<detail::session_state>(impl_->sessions(), std::move(key)));
}

snakepit::host_tools pool::host_tools() const { return snakepit::host_tools(impl_); }

std::vector<tool_spec> pool::tools() const { return impl_->tools(); }
pool_stats pool::stats() const { return impl_->stats(); }
std::vector<worker_stats> pool::workers() const { return impl_->workers(); }
event_source pool::events() const { return event_source(impl_->events()); }
std::string pool::metrics() const { return impl_->telemetry().metrics_text(); }
void pool::set_log_level(snakepit::log_level least) { impl_->set_log_level(least); }
snakepit::log_level pool::log_level() const { return impl_->telemetry().log_level(); }

}  // namespace snakepit
