#include "host/tool_run.hpp"

#include "host/call_scope.hpp"
#include "value/codec.hpp"
#include "wire/frames.hpp"

#include <fmt/format.h>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <exception>
#include <utility>

namespace snakepit::detail {

tool_run::tool_run(std::shared_ptr<const host_tool> tool, std::shared_ptr<switchboard> board,
                   std::shared_ptr<line> asker, call_ptr of, std::uint64_t number, std::size_t max_message_bytes)
    : tool_(std::move(tool)),
      board_(std::move(board)),
      asker_(std::move(asker)),
      of_(std::move(of)),
      number_(number),
      max_message_bytes_(max_message_bytes),
      on_(asio::make_strand(tool_->on)) {}

void tool_run::start(std::string arguments) {
    const auto outer = std::make_shared<const outer_call>(outer_call{of_, &board_->deadlocks()});
    const scoped_executor home(on_, outer);
    asio::post(home, [self = shared_from_this(), home, arguments = std::move(arguments)]() mutable {
        auto done = [self](const std::exception_ptr&, result<value> outcome) { self->answer(std::move(outcome)); };
        asio::co_spawn(home, run(self, std::move(arguments)),
                       asio::bind_cancellation_slot(self->cancel_.slot(), std::move(done)));
    });
}

asio::awaitable<result<value>> tool_run::run(std::shared_ptr<tool_run> self, std::string arguments) {
    if (self->answered_) co_return tl::unexpected(error(errc::cancelled, "nobody wants it any more"));
    auto given = decode(arguments, "args");
    if (!given) co_return tl::unexpected(std::move(given).error());
    const auto& trace = self->of_->trace;
    const host_call about(self->tool_->spec.name, self->of_->session, self->of_->deadline,
                          trace ? trace->traceparent() : std::string(), trace ? trace->tracestate : std::string());
    try {
        co_return co_await self->tool_->run(about, std::move(*given));
    } catch (const std::exception& e) {
        co_return tl::unexpected(error(errc::host_tool_failed, fmt::format("it threw: {}", e.what())));
    } catch (...) {
        co_return tl::unexpected(error(errc::host_tool_failed, "it threw what is no std::exception"));
    }
}

void tool_run::answer(result<value> outcome) {
    board_->remove_helper(*of_, *this);
    if (answered_.exchange(true)) return;
    finding found;
    if (!outcome) {
        found = outcome.error().with_tool(tool_->spec.name);
    } else if (auto encoded = encode(*outcome, "result", max_message_bytes_)) {
        found = found::value{std::move(*encoded)};
    } else {
        found = encoded.error().with_tool(tool_->spec.name);
    }
    board_->answer(*asker_, number_, encode_finding(found));
}

void tool_run::give_up(const error& why) {
    if (!answered_.exchange(true)) board_->answer(*asker_, number_, encode_finding(given_up{why}));
    asio::post(on_, [self = shared_from_this()] { self->cancel_.emit(asio::cancellation_type::terminal); });
}

}  // namespace snakepit::detail
