#pragma once
/// @file
/// The operations of `pool` in completion-token form, for servers on callbacks, futures, strands and other awaitables.
///
/// Each takes any completion token for `void(result<T>)`, unless it says otherwise. The handler runs on its associated
/// executor, or the pool's if it has none; its cancellation slot is honoured as the coroutine form says. Errors, thread
/// safety and lifetime are those of the coroutine form.

#include <snakepit/detail/completion.hpp>
#include <snakepit/pool.hpp>

#include <asio/async_result.hpp>
#include <optional>
#include <type_traits>

namespace snakepit {
namespace detail {
SNAKEPIT_API void begin_start(std::shared_ptr<pool_impl> impl, completion<result<void>> done);
SNAKEPIT_API void begin_stop(std::shared_ptr<pool_impl> impl, completion<result<void>> done);
/// @param worker  nothing: all
SNAKEPIT_API void begin_recycle(std::shared_ptr<pool_impl> impl, std::optional<std::string> worker,
                                completion<result<void>> done);
SNAKEPIT_API void begin_resize(std::shared_ptr<pool_impl> impl, std::optional<std::string> group, worker_count to,
                               completion<result<void>> done);
SNAKEPIT_API void begin_execute(std::shared_ptr<pool_impl> impl, std::string tool, value arguments,
                                call_options options, completion<result<value>> done);
SNAKEPIT_API void begin_execute_reply(std::shared_ptr<pool_impl> impl, std::string tool, value arguments,
                                      call_options options, completion<result<reply>> done);
SNAKEPIT_API void begin_next(std::shared_ptr<map_run> run, completion<std::optional<mapped<value>>> done);
SNAKEPIT_API stream open_stream(const std::shared_ptr<pool_impl>& impl, std::string tool, const value& arguments,
                                const call_options& options, const asio::any_io_executor& on);
SNAKEPIT_API void begin_next(const std::shared_ptr<stream_core>& core, completion<std::optional<value>> done);
SNAKEPIT_API void begin_result(const std::shared_ptr<stream_core>& core, completion<result<value>> done);
SNAKEPIT_API void begin_send(const std::shared_ptr<stream_core>& core, const value& item,
                             completion<result<void>> done);
SNAKEPIT_API asio::any_io_executor executor_of(const pool_impl& impl);
SNAKEPIT_API asio::any_io_executor executor_of(const map_run& run);
SNAKEPIT_API asio::any_io_executor executor_of(const stream_core& core);

template <class Token>
auto async_recycle_which(pool& on, std::optional<std::string> worker, Token&& token) {
    return asio::async_initiate<Token, void(result<void>)>(
        [](auto handler, std::shared_ptr<pool_impl> impl, std::optional<std::string> which) {
            const auto home = executor_of(*impl);
            begin_recycle(std::move(impl), std::move(which), {std::move(handler), home});
        },
        token, on.impl(), std::move(worker));
}
}  // namespace detail

/// `pool::start`.
template <class Token>
auto async_start(pool& on, Token&& token) {
    return asio::async_initiate<Token, void(result<void>)>(
        [](auto handler, std::shared_ptr<detail::pool_impl> impl) {
            const auto home = detail::executor_of(*impl);
            detail::begin_start(std::move(impl), {std::move(handler), home});
        },
        token, on.impl());
}

/// `pool::stop`.
template <class Token>
auto async_stop(pool& on, Token&& token) {
    return asio::async_initiate<Token, void(result<void>)>(
        [](auto handler, std::shared_ptr<detail::pool_impl> impl) {
            const auto home = detail::executor_of(*impl);
            detail::begin_stop(std::move(impl), {std::move(handler), home});
        },
        token, on.impl());
}

/// `pool::recycle`.
template <class Token>
auto async_recycle(pool& on, std::string worker, Token&& token) {
    return detail::async_recycle_which(on, std::move(worker), std::forward<Token>(token));
}

/// `pool::recycle_all`.
template <class Token>
auto async_recycle_all(pool& on, Token&& token) {
    return detail::async_recycle_which(on, std::nullopt, std::forward<Token>(token));
}

namespace detail {
template <class Token>
auto async_resize_which(pool& on, std::optional<std::string> group, worker_count workers, Token&& token) {
    return asio::async_initiate<Token, void(result<void>)>(
        [](auto handler, std::shared_ptr<pool_impl> impl, std::optional<std::string> which, worker_count to) {
            const auto home = executor_of(*impl);
            begin_resize(std::move(impl), std::move(which), to, {std::move(handler), home});
        },
        token, on.impl(), std::move(group), workers);
}
}  // namespace detail

/// `pool::resize`.
template <class Token>
auto async_resize(pool& on, worker_count workers, Token&& token) {
    return detail::async_resize_which(on, std::nullopt, workers, std::forward<Token>(token));
}
/// `pool::resize` of a group.
template <class Token>
auto async_resize(pool& on, std::string group, worker_count workers, Token&& token) {
    return detail::async_resize_which(on, std::move(group), workers, std::forward<Token>(token));
}

/// `pool::execute`.
template <class Token>
auto async_execute(pool& on, std::string tool, value arguments, call_options options, Token&& token) {
    return asio::async_initiate<Token, void(result<value>)>(
        [](auto handler, std::shared_ptr<detail::pool_impl> impl, std::string name, value given, call_options how) {
            const auto home = detail::executor_of(*impl);
            detail::begin_execute(std::move(impl), std::move(name), std::move(given), std::move(how),
                                  {std::move(handler), home});
        },
        token, on.impl(), std::move(tool), std::move(arguments), std::move(options));
}

/// `pool::execute_reply`.
template <class Token>
auto async_execute_reply(pool& on, std::string tool, value arguments, call_options options, Token&& token) {
    return asio::async_initiate<Token, void(result<reply>)>(
        [](auto handler, std::shared_ptr<detail::pool_impl> impl, std::string name, value given, call_options how) {
            const auto home = detail::executor_of(*impl);
            detail::begin_execute_reply(std::move(impl), std::move(name), std::move(given), std::move(how),
                                        {std::move(handler), home});
        },
        token, on.impl(), std::move(tool), std::move(arguments), std::move(options));
}

/// `pool::stream`, which waits for nothing: the stream itself.
inline stream open_stream(pool& on, std::string tool, const value& arguments = value::array(),
                          const call_options& options = call_options()) {
    return detail::open_stream(on.impl(), std::move(tool), arguments, options, detail::executor_of(*on.impl()));
}

/// `stream::next`, for `void(std::optional<value>)`.
template <class Token>
auto async_next(stream& of, Token&& token) {
    return asio::async_initiate<Token, void(std::optional<value>)>(
        [](auto handler, std::shared_ptr<detail::stream_core> core) {
            detail::begin_next(core, {std::move(handler), detail::executor_of(*core)});
        },
        token, of.core());
}

/// `stream::result`.
template <class Token>
auto async_result(stream& of, Token&& token) {
    return asio::async_initiate<Token, void(result<value>)>(
        [](auto handler, std::shared_ptr<detail::stream_core> core) {
            detail::begin_result(core, {std::move(handler), detail::executor_of(*core)});
        },
        token, of.core());
}

/// `stream::send`.
template <class Token>
auto async_send(stream& to, value item, Token&& token) {
    return asio::async_initiate<Token, void(result<void>)>(
        [](auto handler, std::shared_ptr<detail::stream_core> core, value what) {
            detail::begin_send(core, what, {std::move(handler), detail::executor_of(*core)});
        },
        token, to.core(), std::move(item));
}

/// `pool::call<T>`: the token comes before the tool's arguments.
template <class T, class Token, class... Args>
auto async_call(pool& on, const call_options& options, Token&& token, std::string tool, const Args&... arguments) {
    return asio::async_initiate<Token, void(result<T>)>(
        [](auto handler, std::shared_ptr<detail::pool_impl> impl, std::string name, result<value> list,
           call_options how) {
            const auto home = detail::executor_of(*impl);
            detail::completion<result<T>> typed(std::move(handler), home);
            if (!list) return detail::completion<result<T>>::post(std::move(typed), tl::unexpected(list.error()));
            detail::begin_execute(std::move(impl), name, std::move(*list), std::move(how),
                                  std::move(typed).template adapt<result<value>>([name](result<value> reply) {
                                      return detail::reply_as<T>(std::move(reply), name);
                                  }));
        },
        token, on.impl(), tool, detail::positional(tool, arguments...), options);
}

/// `map_results::next`, for `void(std::optional<mapped<T>>)`.
template <class T, class Token>
auto async_next(map_results<T>& of, Token&& token) {
    return asio::async_initiate<Token, void(std::optional<mapped<T>>)>(
        [](auto handler, std::shared_ptr<detail::map_run> run) {
            const auto home = detail::executor_of(*run);
            detail::completion<std::optional<mapped<T>>> typed(std::move(handler), home);
            if constexpr (std::is_same_v<T, value>) {
                detail::begin_next(std::move(run), std::move(typed));
            } else {
                auto convert = [run](std::optional<mapped<value>> item) {
                    return detail::mapped_as<T>(std::move(item), *run);
                };
                auto plain = std::move(typed).template adapt<std::optional<mapped<value>>>(std::move(convert));
                detail::begin_next(std::move(run), std::move(plain));
            }
        },
        token, of.run());
}

}  // namespace snakepit
