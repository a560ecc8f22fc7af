// The life's part about what is seen of it: its event loop, its logs and spans, its slow calls and stacks.

#include "capsule/life.hpp"

#include "process/start_failure.hpp"

#include <asio/co_spawn.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;

constexpr auto stacks_limit = 1s;  // from asking a worker for its stacks to asking faulthandler

/// Of Python's logging, where levels lie between the named ones too.
log_level level_of(int python) {
    if (python >= 40) return log_level::error;
    if (python >= 30) return log_level::warning;
    return python >= 20 ? log_level::info : log_level::debug;
}

}  // namespace

void life::note_blocked(const heard::loop_blocked& b) {
    {
        const std::lock_guard lock(mutex_);
        times_blocked_ += b.stack.empty() ? 0 : 1;
    }
    pool_->events->publish(
        [&] { return happened::loop_blocked{worker_, number_, b.so_far, b.by, pool_->redact_with->text(b.stack)}; });
}

/// Rates and sizes have been seen to by the worker, and checked.
void life::note_telemetry(heard::telemetry& t) {
    const auto& events = *pool_->events;
    for (auto& r : t.logs)
        events.publish_at(r.time, [&] {
            return happened::worker_logged{worker_,
                                           number_,
                                           level_of(r.level),
                                           std::move(r.logger),
                                           pool_->redact_with->text(std::move(r.message)),
                                           r.call,
                                           std::move(r.tool),
                                           std::move(r.trace_id),
                                           std::move(r.span_id),
                                           pool_->redact_with->fields(std::move(r.fields))};
        });
    if (t.dropped_logs != 0)
        events.publish([&] { return happened::output_dropped{worker_, number_, "logging", t.dropped_logs}; });
    if (!pool_->spans) return;
    pool_->spans->lost(t.dropped_spans, "a worker made more than it could send");
    if (!resource_ && !t.spans.empty())
        resource_ =
            std::make_shared<const resource_attributes>(resource_attributes{{"snakepit.worker", worker_},
                                                                            {"process.pid", std::int64_t{body_->pid()}},
                                                                            {"process.runtime.name", "cpython"},
                                                                            {"telemetry.sdk.language", "python"}});
    for (auto& s : t.spans) {
        s.message = pool_->redact_with->text(std::move(s.message));
        s.process = resource_;
        pool_->spans->take(s);
    }
}

void life::note_slow(heard::slow_call& s) {
    if (!slow_watch_ || !slow_watch_->is_first(s.id)) return;
    pool_->events->publish([&] {
        return happened::call_slow{worker_,
                                   number_,
                                   s.id,
                                   std::move(s.tool),
                                   std::move(s.trace_id),
                                   s.running_for,
                                   pool_->redact_with->text(std::move(s.stack))};
    });
}

void life::watch_slow_calls() {
    const auto threshold = pool_->options.slow_call_threshold;
    if (threshold.count() == 0) return;
    const auto weak = weak_from_this();
    slow_watch_ = std::make_shared<slow_watch>(
        on_, threshold,
        slow_watch::subject{[weak] {
                                const auto self = weak.lock();
                                return self ? self->runs() : std::vector<slow_watch::at_work>();
                            },
                            [weak] {
                                if (const auto self = weak.lock()) self->dump_stack();
                            },
                            [weak] {
                                const auto self = weak.lock();
                                return self ? self->body_->left().take_stack() : std::string();
                            },
                            [weak](const slow_watch::at_work& at, clock::duration running, std::string stack) {
                                const auto self = weak.lock();
                                if (!self) return;
                                heard::slow_call slow{at.id,
                                                      std::chrono::duration_cast<std::chrono::microseconds>(running),
                                                      at.tool,
                                                      {},
                                                      std::move(stack)};
                                self->note_slow(slow);
                            }});
    asio::co_spawn(on_, slow_watch::run(slow_watch_), [](std::exception_ptr) {});
}

void life::ask_for_stacks(std::function<void(result<std::string>)> done) {
    if (over_ || body_->pid() == 0)
        return done(tl::unexpected(error(errc::worker_lost, "the worker has no process now").with_worker(worker_)));
    const auto number = ++last_request_;
    wants_stacks_.emplace(number, std::move(done));
    if (line_) body_->connection().ask_for_stacks(number);  // before it has one it cannot be asked
    asio::co_spawn(on_, dump_stacks(shared_from_this(), number), [](std::exception_ptr) {});
}

/// Something holds the GIL, or the process is stopped: faulthandler needs neither its lock nor its help.
asio::awaitable<void> life::dump_stacks(std::shared_ptr<life> self, std::uint64_t number) {
    asio::steady_timer patience(self->on_, stacks_limit);
    asio::error_code woken;
    co_await patience.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    if (!self->wants_stacks_.contains(number)) co_return;
    self->dump_stack();
    patience.expires_after(dump_time);
    co_await patience.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    auto dumped = self->body_->left().take_stack();  // or it would be taken for what it wrote at its end
    if (!self->wants_stacks_.contains(number)) co_return;
    if (!dumped.empty()) co_return self->note_stacks(number, std::move(dumped));
    const char* const why = self->body_->left().has_room_for_stack()
                                ? "the worker has not written its stacks: its process may be stopped"
                                : "the worker does not answer, and has no room left to write its stacks";
    self->note_stacks(number, tl::unexpected(error(errc::deadline_exceeded, why).with_worker(self->worker_)));
}

/// Of a worker that goes on.
void life::dump_stack() {
    (void)body_->left().take_stack();  // of before: it came too late for who had asked for it
    if (body_->left().has_room_for_stack()) body_->ask_for_dump();
}

void life::note_stacks(std::uint64_t number, result<std::string> text) {
    auto found = wants_stacks_.extract(number);
    if (found) found.mapped()(std::move(text));
}

void life::tell_log_level() {
    const int least = *pool_->python_level;
    if (!over_ && line_ && std::exchange(told_level_, least) != least) body_->connection().set_log_level(least);
}

std::uint64_t life::times_blocked() const {
    const std::lock_guard lock(mutex_);
    return times_blocked_;
}

}  // namespace snakepit::detail
