#pragma once
/// @file
/// Host tools: C++ functions that Python may call while it runs a tool.

#include <snakepit/detail/conversion.hpp>
#include <snakepit/error.hpp>
#include <snakepit/export.hpp>
#include <snakepit/tools.hpp>
#include <snakepit/value.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace snakepit {

/** The call that a host tool works for. A tool whose first parameter is a `host_call` gets it.

    @par Thread safety  a plain value */
class host_call {
public:
    using clock = std::chrono::steady_clock;

    host_call(std::string tool, std::string session, clock::time_point deadline, std::string traceparent = {},
              std::string tracestate = {})
        : tool_(std::move(tool)),
          session_(std::move(session)),
          deadline_(deadline),
          traceparent_(std::move(traceparent)),
          tracestate_(std::move(tracestate)) {}

    /// Name of the host tool.
    [[nodiscard]] const std::string& tool() const noexcept { return tool_; }
    /// Key of the outer call's session; empty: none.
    [[nodiscard]] const std::string& session() const noexcept { return session_; }
    /// When the outer call expires; `time_point::max()`: never.
    [[nodiscard]] clock::time_point deadline() const noexcept { return deadline_; }
    /// The outer call's trace, `call_options::traceparent`; empty: none.
    [[nodiscard]] const std::string& traceparent() const noexcept { return traceparent_; }
    /// Empty: none.
    [[nodiscard]] const std::string& tracestate() const noexcept { return tracestate_; }

private:
    std::string tool_;
    std::string session_;
    clock::time_point deadline_;
    std::string traceparent_;
    std::string tracestate_;
};

/// How a host tool presents itself to Python, and where it runs.
struct host_tool_options {
    /// Names of the parameters, in order. Without them Python can only give arguments by position.
    std::vector<std::string> parameters{};
    /// What help() says.
    std::string doc{};
    /// Where it runs; null: on the pool's executor.
    asio::any_io_executor executor{};
};

namespace detail {

class host_registry;
class pool_impl;

/// A host tool of any signature.
struct host_tool {
    tool_spec spec;
    asio::any_io_executor on;
    std::function<asio::awaitable<result<value>>(host_call, value)> run;
};

template <class T>
struct signature_of : signature_of<decltype(&T::operator())> {};
template <class R, class... Args>
struct signature_of<R (*)(Args...)> {
    using returned = R;
    using arguments = std::tuple<std::decay_t<Args>...>;
};
template <class R, class C, class... Args>
struct signature_of<R (C::*)(Args...)> : signature_of<R (*)(Args...)> {};
template <class R, class C, class... Args>
struct signature_of<R (C::*)(Args...) const> : signature_of<R (*)(Args...)> {};

/// What is behind `awaitable<result<T>>`, `awaitable<T>`, `result<T>` and T.
template <class T>
struct outcome_of_type {
    using type = T;
};
template <class T>
struct outcome_of_type<result<T>> {
    using type = T;
};
template <class T>
struct outcome_of_type<asio::awaitable<T>> : outcome_of_type<T> {};

template <class Arguments>
inline constexpr bool takes_host_call = false;
template <class... Others>
inline constexpr bool takes_host_call<std::tuple<host_call, Others...>> = true;

template <class T>
inline constexpr bool is_awaitable = false;
template <class T>
inline constexpr bool is_awaitable<asio::awaitable<T>> = true;

/// As Python would write the type.
template <class T>
std::string python_name() {
    if constexpr (std::is_void_v<T>) return "None";
    else if constexpr (std::is_same_v<T, bool>) return "bool";
    else if constexpr (std::is_integral_v<T>) return "int";
    else if constexpr (std::is_floating_point_v<T>) return "float";
    else if constexpr (std::is_convertible_v<T, std::string>) return "str";
    else if constexpr (std::is_same_v<T, value::binary_t>) return "bytes";
    else return {};
}

template <class T>
result<value> as_value(result<T> r) {
    if (!r) return tl::unexpected(std::move(r).error());
    if constexpr (std::is_void_v<T>) return value(nullptr);
    else return value(std::move(*r));
}
template <class T>
result<value> as_value(T r) {
    return value(std::move(r));
}

/// The given arguments in the order of the parameters.
[[nodiscard]] SNAKEPIT_API result<std::vector<value>> in_order(const tool_spec& spec, value given);
[[nodiscard]] SNAKEPIT_API error misfit(const tool_spec& spec, std::size_t position, const std::string& why);

/// @return  whether it fits
template <class T>
bool take_argument(const tool_spec& spec, std::size_t position, const value& from, std::optional<T>& to,
                   std::optional<error>& failed) {
    if constexpr (std::is_same_v<T, value>) {
        to = from;
    } else {
        if (!fits<T>(from)) {
            failed = misfit(spec, position, "the number does not go into the C++ type");
            return false;
        }
        try {
            to = from.get<T>();
        } catch (const std::exception& e) {  // the user's conversion may throw anything
            failed = misfit(spec, position, e.what());
            return false;
        }
    }
    return true;
}

template <class F, std::size_t... I>
asio::awaitable<result<value>> run_host_tool(std::shared_ptr<F> function, std::shared_ptr<const tool_spec> spec,
                                             host_call about, value given, std::index_sequence<I...>) {
    using arguments = typename signature_of<F>::arguments;
    using returned = typename signature_of<F>::returned;
    constexpr std::size_t first = std::tuple_size_v<arguments> - sizeof...(I);
    auto list = in_order(*spec, std::move(given));
    if (!list) co_return tl::unexpected(std::move(list).error());
    std::tuple<std::optional<std::tuple_element_t<I + first, arguments>>...> converted;
    std::optional<error> failed;
    (void)(take_argument(*spec, I, (*list)[I], std::get<I>(converted), failed) && ...);
    if (failed) co_return tl::unexpected(*failed);
    const auto call = [&]() -> returned {
        if constexpr (first == 1) return (*function)(about, std::move(*std::get<I>(converted))...);
        else return (*function)(std::move(*std::get<I>(converted))...);
    };
    if constexpr (std::is_void_v<returned>) {
        call();
        co_return value(nullptr);
    } else if constexpr (std::is_same_v<returned, asio::awaitable<void>>) {
        co_await call();
        co_return value(nullptr);
    } else if constexpr (is_awaitable<returned>) {
        co_return as_value(co_await call());
    } else {
        co_return as_value(call());
    }
}

/// What Python is told of parameters and result.
template <class Arguments, class Returned, std::size_t First, std::size_t... I>
tool_spec spec_of(std::string name, const host_tool_options& options, std::index_sequence<I...>) {
    tool_spec spec;
    spec.name = std::move(name);
    spec.doc = options.doc;
    spec.returns = python_name<typename outcome_of_type<Returned>::type>();
    (spec.parameters.push_back({I < options.parameters.size() ? options.parameters[I] : std::string(),
                                tool_parameter::kind::positional_or_keyword,
                                python_name<std::tuple_element_t<I + First, Arguments>>(),
                                false,
                                {}}),
     ...);
    return spec;
}

}  // namespace detail

/** The host tools of a pool: C++ functions that its Python tools may call, as `snakepit.host.name(...)`.

    A host tool works for one call of the pool (the outer call). When that ends, expires or is cancelled, the
   coroutine's cancellation slot is asked to stop, and nobody hears its result any more. Calls that it makes on the same
   pool belong to the outer call: they expire with it at the latest, are in its session unless they name another, and go
   ahead of those that wait. When all workers wait for each other in this way the newest such call ends with
    errc::would_deadlock.

    @par Thread safety  every member may be called from any thread at any time
    @par Lifetime       a handle; holds the pool's state */
class SNAKEPIT_API host_tools {
public:
    /** Offer a function to Python from now on. Workers that run already can call it too; dir() and help() show it in
        those that start later.

        @param name      as Python is to call it: UTF-8, 1 to `max_name_bytes` bytes
        @param function  any callable with one signature (no generic lambda), that returns T, `result<T>`,
                         `awaitable<T>` or `awaitable<result<T>>`; called by several calls at once. Its parameters and T
                         go through nlohmann's conversions; a first parameter of type `host_call` gets the outer call.
                         What it throws is errc::host_tool_failed to Python
        @param options   how it presents itself, and the executor it runs on
        @return  or why not: errc::invalid_name; bad_arguments when there is one of that name, or when not all of its
                 parameters have names
        @par Errors to Python  the errors that it returns: each has an exception class, see `snakepit.HostError` */
    template <class F>
    result<void> add(std::string name, F function, host_tool_options options = {}) {
        using signature = detail::signature_of<F>;
        using arguments = typename signature::arguments;
        constexpr std::size_t count = std::tuple_size_v<arguments>;
        constexpr std::size_t first = detail::takes_host_call<arguments> ? 1 : 0;
        using indices = std::make_index_sequence<count - first>;
        detail::host_tool made;
        made.spec =
            detail::spec_of<arguments, typename signature::returned, first>(std::move(name), options, indices());
        const auto shared = std::make_shared<F>(std::move(function));
        const auto spec = std::make_shared<const tool_spec>(made.spec);
        made.run = [shared, spec](host_call about, value given) {
            return detail::run_host_tool(shared, spec, std::move(about), std::move(given), indices());
        };
        made.on = std::move(options.executor);
        return add_any(std::move(made), options.parameters.size());
    }
    /// Calls that run already go on.
    /// @return  whether there was one of that name
    bool remove(const std::string& name);

private:
    friend class pool;
    explicit host_tools(std::shared_ptr<detail::pool_impl> of) : of_(std::move(of)) {}
    result<void> add_any(detail::host_tool tool, std::size_t names);

    std::shared_ptr<detail::pool_impl> of_;
};

}  // namespace snakepit
