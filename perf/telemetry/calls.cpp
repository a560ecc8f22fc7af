// So many calls by the switchboard with a fake worker, and nothing else: its instructions are counted from outside.
// Built twice, with the look at whether somebody listens and without it.
//
// usage: calls NUMBER [on]    on: metrics are counted and every tenth call is traced

#include "echo_lane.hpp"
#include "pool/call.hpp"
#include "pool/limits.hpp"
#include "pool/switchboard.hpp"
#include "telemetry/metrics.hpp"
#include "telemetry/otlp/span_batch.hpp"
#include "telemetry/tracer.hpp"

#include <asio/io_context.hpp>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>

using namespace snakepit;

namespace {

/// Encodes spans, as the exporter does while calls wait, and lets them go.
class encoded_spans final : public detail::span_sink {
public:
    void take(const detail::span& s) override {
        batch_.add(s);
        if (batch_.count() == 512) batch_ = {};
    }
    void lost(std::uint64_t, const std::string&) override {}

private:
    detail::span_batch batch_;
};

struct listeners {
    explicit listeners(detail::event_bus& bus)
        : metrics(
              bus, [] { return pool_stats(); }, {}, false),
          traces({0.1, true}, bus, std::make_shared<const detail::redactor>(log_options().redact),
                 std::make_shared<encoded_spans>()) {}

    detail::pool_metrics metrics;
    detail::tracer traces;
};

}  // namespace

int main(int count, char** argv) {
    long left = std::atol(argv[1]);
    const auto bus = std::make_shared<detail::event_bus>();
    const auto all_on = count > 2 ? std::make_unique<listeners>(*bus) : nullptr;
    constexpr int callers = 32;
    asio::io_context io(1);
    detail::switchboard board({.queue = 1'000,
                               .calls_per_line = callers,
                               .in_flight = detail::max_inflight_bytes,
                               .credit = detail::credit_rules::adaptive()},
                              [](auto) {}, std::make_shared<detail::deadlock_watch>(), {bus, "group"});
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
        if (all_on) all_on->traces.begin(*c);
        board.submit(std::move(c));
    };
    for (int i = 0; i < callers; ++i) submit();
    io.run();
    worker->unplug();
}
