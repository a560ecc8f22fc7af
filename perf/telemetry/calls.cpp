// So many calls by the switchboard with a fake worker, and nothing else: its instructions are counted from outside.
// Built twice, with the look at whether somebody listens and without it.

#include "echo_lane.hpp"
#include "pool/call.hpp"
#include "pool/limits.hpp"
#include "pool/switchboard.hpp"

#include <asio/io_context.hpp>
#include <cstdlib>
#include <functional>
#include <memory>

using namespace snakepit;

int main(int, char** argv) {
    long left = std::atol(argv[1]);
    constexpr int callers = 32;
    asio::io_context io(1);
    detail::switchboard board({.queue = 1'000,
                               .calls_per_line = callers,
                               .in_flight = detail::max_inflight_bytes,
                               .credit = detail::credit_rules::adaptive()},
                              [](auto) {}, std::make_shared<detail::deadlock_watch>(),
                              {std::make_shared<detail::event_bus>(), "group"});
    board.open();
    perf::buffers shared;
    const auto worker = std::make_shared<perf::echo_lane>(io, board, shared);
    worker->carry(board.connect("w0", {tool_spec{"echo", {}, {}, {}, {}}}, worker));

    const std::function<void()> submit = [&] {
        auto c = std::make_shared<detail::call>();
        c->tool = "echo";
        c->arguments.assign(100, 'x');
        c->deadline = detail::call::clock::now() + std::chrono::seconds(30);
        c->done = {[&](result<value> outcome) {
                       if (!outcome) std::abort();
                       if (--left == 0) io.stop();
                       else submit();
                   },
                   io.get_executor()};
        board.submit(std::move(c));
    };
    for (int i = 0; i < callers; ++i) submit();
    io.run();
    worker->unplug();
}
