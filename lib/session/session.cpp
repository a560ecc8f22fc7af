#include <snakepit/session.hpp>

#include "pool/refusals.hpp"
#include "process/fork_shield.hpp"
#include "session/session_names.hpp"
#include "session/session_state.hpp"
#include "session/watch_queue.hpp"
#include "value/codec.hpp"

#include <asio/error.hpp>
#include <asio/system_error.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <type_traits>
#include <utility>

namespace snakepit {
namespace {

using detail::session_state;
using state_ptr = std::shared_ptr<session_state>;

error cancelled_error() { return {errc::cancelled, "the caller was cancelled"}; }

/** One operation of the backend, on a session that is opened before if it was not yet.

    Awaitables are made first and awaited then, here and below: g++ 12 destroys what is made in a co_await expression
    twice, if it is a lambda or an aggregate.

    @param operation  Awaitable(session_backend&, session_id) */
template <class Operation, class Awaitable = std::invoke_result_t<Operation&, session_backend&, session_id>>
Awaitable with_session(state_ptr on, Operation operation) {
    if (auto why = on->host->refusal()) co_return tl::unexpected(std::move(*why));
    // Nothing announces a cancellation that came before, and awaiting would throw.
    const auto before = co_await asio::this_coro::cancellation_state;
    if (before.cancelled() != asio::cancellation_type::none) co_return tl::unexpected(cancelled_error());
    auto id = on->id();
    try {
        if (id.incarnation == 0) {
            auto opening = on->host->backend().open(on->key());
            const auto opened = co_await std::move(opening);
            if (!opened) co_return tl::unexpected(opened.error());
            on->opened(*opened);
            id = on->id();
            const auto meanwhile = co_await asio::this_coro::cancellation_state;
            if (meanwhile.cancelled() != asio::cancellation_type::none) co_return tl::unexpected(cancelled_error());
        }
        auto running = operation(on->host->backend(), std::move(id));
        co_return co_await std::move(running);
    } catch (const asio::system_error& aborted) {
        if (aborted.code() != asio::error::operation_aborted) throw;
    }
    co_return tl::unexpected(cancelled_error());
}

result<std::optional<variable>> decoded(const stored_variable& stored, const std::string& name) {
    if (!stored.bytes) return std::optional<variable>();
    auto data = detail::decode(*stored.bytes, name);
    if (!data) return tl::unexpected(std::move(data).error());
    return variable{std::move(*data), stored.version};
}

/// The value and its name are checked before anything waits.
result<session_change> encoded(const session_state& on, std::string name, const value& data,
                               std::optional<std::uint64_t> expected) {
    if (auto wrong = detail::refuse_name(name, "the variable's name")) return tl::unexpected(std::move(*wrong));
    auto bytes = detail::encode(data, name, on.host->max_value_bytes());
    if (!bytes && bytes.error() == errc::message_too_large)
        return tl::unexpected(error(errc::value_too_large, bytes.error().message()));
    if (!bytes) return tl::unexpected(std::move(bytes).error());
    return session_change{std::move(name), std::make_shared<const std::string>(std::move(*bytes)), expected};
}

asio::awaitable<result<std::optional<variable>>> get_on(state_ptr on, std::string name) {
    auto read = [name](session_backend& from, session_id id) {
        return from.read(std::move(id), std::vector<std::string>(1, name));
    };
    auto reading = with_session(std::move(on), std::move(read));
    const auto found = co_await std::move(reading);
    if (!found) co_return tl::unexpected(found.error());
    co_return decoded(found->at(0), name);
}

/// @return  the version that the change took
asio::awaitable<result<std::uint64_t>> change_on(state_ptr on, result<session_change> change) {
    if (!change) co_return tl::unexpected(std::move(change).error());
    auto write = [&change](session_backend& to, session_id id) {
        std::vector<session_change> one;
        one.push_back(std::move(*change));
        return to.write(std::move(id), std::move(one));
    };
    auto writing = with_session(std::move(on), std::move(write));
    const auto versions = co_await std::move(writing);
    if (!versions) co_return tl::unexpected(versions.error());
    co_return versions->at(0);
}

asio::awaitable<result<bool>> erase_on(state_ptr on, std::string name) {
    auto erasing = change_on(std::move(on), session_change{std::move(name)});
    const auto version = co_await std::move(erasing);
    if (!version) co_return tl::unexpected(version.error());
    co_return *version != 0;
}

asio::awaitable<result<void>> expire_on(state_ptr on, std::chrono::milliseconds ttl) {
    if (ttl.count() < 0)
        co_return tl::unexpected(error(errc::bad_arguments, "a session cannot expire after a negative time"));
    auto tell = [ttl](session_backend& to, session_id id) { return to.expire_after(std::move(id), ttl); };
    auto telling = with_session(std::move(on), std::move(tell));
    co_return co_await std::move(telling);
}

}  // namespace

session::session(std::shared_ptr<detail::session_state> shared) : state_(std::move(shared)) {}
const std::string& session::key() const noexcept { return state_->key(); }

asio::awaitable<result<std::optional<variable>>> session::get(std::string name) {
    return get_on(state_, std::move(name));
}
asio::awaitable<result<std::uint64_t>> session::set(std::string name, value data) {
    return change_on(state_, encoded(*state_, std::move(name), data, {}));
}
asio::awaitable<result<bool>> session::erase(std::string name) { return erase_on(state_, std::move(name)); }
asio::awaitable<result<std::uint64_t>> session::compare_and_set(std::string name, std::uint64_t expected, value data) {
    return change_on(state_, encoded(*state_, std::move(name), data, expected));
}
asio::awaitable<result<std::vector<std::string>>> session::keys() {
    return with_session(state_, [](session_backend& of, session_id id) { return of.names(std::move(id)); });
}
asio::awaitable<result<void>> session::expire_after(std::chrono::milliseconds ttl) { return expire_on(state_, ttl); }
asio::awaitable<result<void>> session::close() {
    return with_session(state_, [](session_backend& at, session_id id) { return at.close(std::move(id)); });
}

asio::awaitable<result<variable>> session::update_with(state on, std::string name,
                                                       std::function<value(std::optional<value>)> change) {
    for (;;) {
        auto reading = get_on(on, name);
        auto found = co_await std::move(reading);
        if (!found) co_return tl::unexpected(std::move(found).error());
        const std::uint64_t before = *found ? (*found)->version : 0;
        std::optional<value> present;
        if (*found) present = std::move((*found)->data);
        auto data = change(std::move(present));
        const auto meanwhile = co_await asio::this_coro::cancellation_state;
        if (meanwhile.cancelled() != asio::cancellation_type::none) co_return tl::unexpected(cancelled_error());
        auto writing = change_on(on, encoded(*on, name, data, before));
        const auto version = co_await std::move(writing);
        if (version) co_return variable{std::move(data), *version};
        if (version.error() != errc::version_conflict) co_return tl::unexpected(version.error());
        const auto again = co_await asio::this_coro::cancellation_state;
        if (again.cancelled() != asio::cancellation_type::none) co_return tl::unexpected(cancelled_error());
    }
}

// ---- watching

asio::awaitable<result<session_watch>> session::watch(std::size_t limit) { return watch_on(state_, limit); }

asio::awaitable<result<session_watch>> session::watch_on(state on, std::size_t limit) {
    const auto queue = std::make_shared<detail::watch_queue>(std::max<std::size_t>(1, limit));
    auto subscribe = [queue](session_backend& at, session_id id) {
        const error closed(errc::session_closed, "the session \"" + id.key + "\" was closed or has expired");
        return at.watch(std::move(id), [queue, closed](const session_event& e) {
            if (e.kind == session_event::what::closed) queue->end(closed);
            else queue->push(e);
        });
    };
    auto subscribing = with_session(on, std::move(subscribe));
    auto subscription = co_await std::move(subscribing);
    if (!subscription) co_return tl::unexpected(std::move(subscription).error());
    on->host->add(queue);
    co_return session_watch(queue, std::move(*subscription));
}

session_watch::session_watch(std::shared_ptr<detail::watch_queue> queue, std::shared_ptr<void> subscription)
    : queue_(std::move(queue)), subscription_(std::move(subscription)) {}
session_watch::session_watch() noexcept = default;
session_watch::~session_watch() {
    subscription_.reset();
    if (queue_) queue_->end(error(errc::cancelled, "the watch was destroyed"));
}
session_watch::session_watch(session_watch&&) noexcept = default;
session_watch& session_watch::operator=(session_watch&& other) noexcept {
    std::swap(queue_, other.queue_);
    std::swap(subscription_, other.subscription_);
    return *this;
}

namespace {

asio::awaitable<result<variable_event>> next_of(std::shared_ptr<detail::watch_queue> queue) {
    if (detail::fork_shield::in_child()) co_return tl::unexpected(detail::forked_error());
    if (!queue) co_return tl::unexpected(error(errc::session_closed, "this watches nothing"));
    auto waiting = detail::watch_queue::next(std::move(queue));
    auto next = co_await std::move(waiting);
    if (!next) co_return tl::unexpected(std::move(next).error());
    auto& e = next->event;
    variable_event told{std::move(e.name), {}, e.version, next->missed};
    if (!e.bytes) co_return told;
    auto data = detail::decode(*e.bytes, told.name);
    if (!data) co_return tl::unexpected(std::move(data).error());
    told.data = std::move(*data);
    co_return told;
}

}  // namespace

asio::awaitable<result<variable_event>> session_watch::next() { return next_of(queue_); }

}  // namespace snakepit
