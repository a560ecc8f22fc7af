#include <snakepit/stream.hpp>

#include "pool/pool_impl.hpp"
#include "pool/refusals.hpp"
#include "pool/stream_core.hpp"
#include "process/fork_shield.hpp"
#include "value/codec.hpp"

#include <snakepit/async.hpp>

#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

namespace snakepit {
namespace detail {

void stream_core::cancel() {
    if (fork_shield::in_child()) return;
    state_->will_be_cancelled();
    if (board_) board_->give_up(*call_, errc::cancelled);
}

void stream_core::cancel_when_asked(const asio::cancellation_slot& slot) {
    if (!slot.is_connected()) return;
    asio::cancellation_slot(slot).assign([weak = weak_from_this()](asio::cancellation_type type) {
        if (!asks_to_stop(type)) return;
        if (const auto self = weak.lock()) self->cancel();
    });
}

std::optional<value> stream_core::read(item it) {
    if (!it) return std::nullopt;
    auto v = decode(*it, "item");
    if (v) return std::move(*v);
    state_->end(tl::unexpected(v.error().with_tool(call_->tool)));
    state_->discard();
    cancel();
    return std::nullopt;
}

stream_core::ready stream_core::take() {
    if (fork_shield::in_child()) return {true, std::nullopt};
    auto t = state_->take();
    if (t.credit != 0) board_->give_credit(*call_, t.credit);
    return {t.is_known, read(std::move(t.it))};
}

void stream_core::begin_next(completion<item> done) {
    if (fork_shield::in_child()) return completion<item>::post(std::move(done), std::nullopt);
    cancel_when_asked(done.slot());
    if (const auto credit = state_->await_item(std::move(done)); credit != 0) board_->give_credit(*call_, credit);
}

void stream_core::begin_result(completion<result<value>> done) {
    if (fork_shield::in_child())
        return completion<result<value>>::post(std::move(done), tl::unexpected(forked_error()));
    cancel_when_asked(done.slot());
    if (const auto credit = state_->await_end(std::move(done)); credit != 0) board_->give_credit(*call_, credit);
}

void stream_core::begin_send(const value& what, completion<result<void>> done) {
    const auto fail = [&](const error& why) {
        auto named = call_ ? why.with_tool(call_->tool) : why;
        completion<result<void>>::post(std::move(done), tl::unexpected(std::move(named)));
    };
    if (fork_shield::in_child()) return fail(forked_error());
    auto encoded = encode(what, "item", max_message_bytes_);
    if (!encoded) return fail(encoded.error());
    auto who = std::make_shared<stream_state::sender>();
    who->what = std::make_shared<const std::string>(std::move(*encoded));
    if (auto slot = done.slot(); slot.is_connected())
        slot.assign([state = state_, weak = std::weak_ptr(who)](asio::cancellation_type type) {
            if (!asks_to_stop(type)) return;
            if (const auto waiting = weak.lock())
                state->withdraw(waiting, error(errc::cancelled, "the caller no longer waits; the item was not sent"));
        });
    who->done = std::move(done);
    auto sender = who;
    if (const auto refused = state_->send(sender)) {
        done = std::move(who->done);
        return fail(*refused);
    }
    if (sender) return;  // it waits
    completion<result<void>>::post(std::move(who->done), {});
    board_->input_ready(*call_);
}

result<void> stream_core::finish() {
    if (fork_shield::in_child()) return tl::unexpected(forked_error());
    if (const auto refused = state_->finish())
        return tl::unexpected(call_ ? refused->with_tool(call_->tool) : *refused);
    board_->input_ready(*call_);
    return {};
}

void begin_next(const std::shared_ptr<stream_core>& core, completion<std::optional<value>> done) {
    auto read = [core](stream_core::item it) { return core->read(std::move(it)); };
    core->begin_next(std::move(done).adapt<stream_core::item>(std::move(read)));
}
void begin_result(const std::shared_ptr<stream_core>& core, completion<result<value>> done) {
    core->begin_result(std::move(done));
}
void begin_send(const std::shared_ptr<stream_core>& core, const value& item, completion<result<void>> done) {
    core->begin_send(item, std::move(done));
}
asio::any_io_executor executor_of(const stream_core& core) { return core.home(); }

namespace {

/// Nothing announces a cancellation that came before.
asio::awaitable<bool> is_cancelled() {
    const auto state = co_await asio::this_coro::cancellation_state;
    co_return state.cancelled() != asio::cancellation_type::none;
}

}  // namespace
}  // namespace detail

stream::stream(std::shared_ptr<detail::stream_core> core) noexcept : core_(std::move(core)) {}
stream::~stream() { cancel(); }
stream::stream(stream&&) noexcept = default;
stream& stream::operator=(stream&& other) noexcept {
    if (this == &other) return *this;
    cancel();
    core_ = std::move(other.core_);
    return *this;
}

void stream::cancel() {
    if (core_) core_->cancel();
}

asio::awaitable<std::optional<value>> stream::next() { return next_of(core_); }
asio::awaitable<snakepit::result<value>> stream::result() { return result_of(core_); }
asio::awaitable<snakepit::result<void>> stream::send(value item) { return send_to(core_, std::move(item)); }
asio::awaitable<snakepit::result<void>> stream::finish() { return finish_of(core_); }

asio::awaitable<std::optional<value>> stream::next_of(std::shared_ptr<detail::stream_core> core) {
    if (core->should_yield()) co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
        core->cancel();
        co_return std::nullopt;
    }
    auto ready = core->take();
    if (ready.is_known) co_return std::move(ready.it);
    auto item = co_await asio::async_initiate<const asio::use_awaitable_t<>, void(detail::stream_core::item)>(
        [](auto handler, std::shared_ptr<detail::stream_core> of) {
            const auto home = of->home();
            of->begin_next({std::move(handler), home});
        },
        asio::use_awaitable, core);
    co_return core->read(std::move(item));
}

asio::awaitable<snakepit::result<value>> stream::result_of(std::shared_ptr<detail::stream_core> core) {
    if (co_await detail::is_cancelled()) core->cancel();
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(snakepit::result<value>)>(
        [](auto handler, std::shared_ptr<detail::stream_core> of) {
            const auto home = of->home();
            of->begin_result({std::move(handler), home});
        },
        asio::use_awaitable, core);
}

asio::awaitable<snakepit::result<void>> stream::send_to(std::shared_ptr<detail::stream_core> core, value item) {
    if (co_await detail::is_cancelled())
        co_return tl::unexpected(error(errc::cancelled, "the caller had been cancelled before it asked"));
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(snakepit::result<void>)>(
        [](auto handler, std::shared_ptr<detail::stream_core> of, value what) {
            const auto home = of->home();
            of->begin_send(what, {std::move(handler), home});
        },
        asio::use_awaitable, core, std::move(item));
}

asio::awaitable<snakepit::result<void>> stream::finish_of(std::shared_ptr<detail::stream_core> core) {
    co_return core->finish();
}

}  // namespace snakepit
