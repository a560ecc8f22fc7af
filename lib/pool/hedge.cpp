#include "pool/hedge.hpp"

#include "pool/pool_impl.hpp"
#include "pool/switchboard.hpp"
#include "process/fork_shield.hpp"
#include "telemetry/tracer.hpp"

#include <algorithm>
#include <utility>

namespace snakepit::detail {
namespace {

/// The same call once more, of no affinity, since it is to go elsewhere, and not to be run a third time. Null: its
/// session is no more.
call_ptr again(const call& c, const session_host& sessions) {
    auto made = std::make_shared<call>();
    made->tool = c.tool;
    made->arguments = c.arguments;
    made->large = c.large;
    made->session = c.session;
    made->idempotent = false;
    made->priority = c.priority;
    made->deadline = c.deadline;
    made->parent = c.parent;
    made->trace = c.trace;
    made->weight = (c.large ? c.large->size() : c.arguments.size()) + c.overhead();
    if (!c.session.empty()) {
        auto held = sessions.hold(c.session);
        if (!held) return nullptr;
        made->session_held = std::move(*held);
    }
    return made;
}

bool is_reply(const error& e) {
    constexpr errc others[] = {errc::worker_lost,   errc::poison_call,   errc::queue_full,
                               errc::tool_degraded, errc::pool_degraded, errc::would_deadlock};
    return std::ranges::none_of(others, [&](errc code) { return e == code; });
}

}  // namespace

hedge::hedge(std::shared_ptr<switchboard> board, std::shared_ptr<session_host> sessions,
             std::shared_ptr<const tracer> traces)
    : board_(std::move(board)), sessions_(std::move(sessions)), traces_(std::move(traces)) {}

void hedge::follow(const call_ptr& first, std::chrono::milliseconds after, const asio::any_io_executor& on) {
    done_ = std::move(first->done);
    served_ = std::move(first->served);
    if (auto slot = done_.slot(); slot.is_connected())
        slot.assign([weak = weak_from_this()](asio::cancellation_type type) {
            if (const auto self = weak.lock(); self && asks_to_stop(type)) self->give_up();
        });
    first_.what = first;
    first_.is_under_way = true;
    first->done = completion_of(first_, second_, done_.executor());
    first->served = first_.served;
    timer_ = std::make_unique<asio::steady_timer>(on, after);
    timer_->async_wait([weak = weak_from_this()](const asio::error_code& stopped) {
        const auto self = weak.lock();
        if (self && !stopped && !fork_shield::in_child()) self->begin_second();
    });
}

completion<result<value>> hedge::completion_of(attempt& which, attempt& other, const asio::any_io_executor& home) {
    return {[self = shared_from_this(), &which, &other](result<value> outcome) {
                self->ended(which, other, std::move(outcome));
            },
            home};
}

void hedge::begin_second() {
    const auto first = first_.what.lock();
    if (!first) return;
    const auto second = again(*first, *sessions_);
    if (!second) return;
    if (traces_) traces_->begin(*second);  // part of the span that the first one is
    {
        const std::lock_guard lock(mutex_);
        if (!done_) return;
        second->done = completion_of(second_, first_, done_.executor());
        second->served = second_.served;
        second_.what = second;
        second_.is_under_way = true;
    }
    if (board_->hedge(second, *first)) return;
    std::unique_lock lock(mutex_);
    second_.is_under_way = false;
    if (first_.is_under_way || !done_) return;
    auto done = std::exchange(done_, {});  // the first one was lost meanwhile
    lock.unlock();
    completion<result<value>>::post(std::move(done), std::move(first_.lost));
}

/// Neither a worker's death nor a place that it did not get is a reply, while the other attempt may still bring one.
void hedge::ended(attempt& which, attempt& other, result<value> outcome) {
    std::unique_lock lock(mutex_);
    which.is_under_way = false;
    if (!done_) return;
    if (!outcome && !is_reply(outcome.error()) && other.is_under_way) return void(which.lost = std::move(outcome));
    auto done = std::exchange(done_, {});
    if (served_) *served_ = *which.served;
    const auto loser = other.what.lock();
    lock.unlock();
    if (loser) board_->give_up(*loser, errc::cancelled);
    std::move(done)(std::move(outcome));
}

void hedge::give_up() {
    if (fork_shield::in_child()) return;  // before any mutex: a thread that is no more may hold it
    std::unique_lock lock(mutex_);
    const auto attempts = {first_.what.lock(), second_.what.lock()};
    lock.unlock();
    for (const auto& each : attempts)
        if (each) board_->give_up(*each, errc::cancelled);
}

}  // namespace snakepit::detail
