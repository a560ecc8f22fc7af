#pragma once
// Sends spans and metrics away by OTLP over gRPC.

#include "telemetry/otlp/settings.hpp"
#include "telemetry/otlp/span_batch.hpp"
#include "telemetry/span.hpp"

#include <prometheus/metric_family.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace snakepit::detail {

/** A thread of its own, so that neither the application's executor nor a call ever waits for a receiver: spans gather
   in a bounded queue, whose newest are dropped and counted when it is full; a batch leaves when there are enough or
   after a while. What a receiver says may succeed later is tried again with growing pauses, for about a minute; then it
   is dropped and counted.

    @par Thread safety  every member from any thread */
class otlp_exporter final : public span_sink {
public:
    using clock = std::chrono::steady_clock;
    using metrics_source = std::function<std::vector<prometheus::MetricFamily>()>;
    /// @param spans  how many more were given up; 0: metrics were, for the first time since they went well
    using loss_listener = std::function<void(std::uint64_t spans, const std::string& why)>;

    /// @param source   asked for metrics on the exporter's thread; empty: none are exported
    /// @param on_loss  told on the exporter's thread, at most every ten seconds
    otlp_exporter(otlp_settings how, metrics_source source, loss_listener on_loss);
    /// As `stop`.
    ~otlp_exporter() override;

    void take(const span& s) override;
    void lost(std::uint64_t spans, const std::string& why) override;
    /// Exports what there is within that time, and ends. A receiver that has failed last is not waited for.
    void begin_stop(std::chrono::milliseconds limit);
    [[nodiscard]] bool has_ended() const noexcept { return ended_; }
    /// Ends at once; what is left is dropped.
    void stop();

    [[nodiscard]] std::uint64_t exported() const noexcept { return exported_; }
    [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_; }

private:
    class channel;

    void run();
    void export_spans(std::unique_lock<std::mutex>& lock);
    [[nodiscard]] span_batch next_batch();
    void export_metrics_if_due(std::unique_lock<std::mutex>& lock);
    void export_metrics(std::unique_lock<std::mutex>& lock);
    [[nodiscard]] bool pause(std::unique_lock<std::mutex>& lock, int attempt, std::chrono::milliseconds at_least);
    void drop(std::uint64_t spans, std::string why);
    void tell_of_losses(std::unique_lock<std::mutex>& lock);
    [[nodiscard]] clock::time_point next_look() const;

    const otlp_settings how_;
    const metrics_source source_;
    const loss_listener on_loss_;
    const std::chrono::system_clock::time_point since_ = std::chrono::system_clock::now();
    std::unique_ptr<channel> traces_;
    std::unique_ptr<channel> metrics_;
    std::atomic<std::uint64_t> exported_ = 0;
    std::atomic<std::uint64_t> dropped_ = 0;
    std::atomic<bool> ended_ = false;

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<span_batch> waiting_;  // none is empty, and only the last takes more
    std::size_t spans_waiting_ = 0;
    clock::time_point oldest_at_;  // when the first of them came
    clock::time_point metrics_at_ = clock::time_point::max();
    std::atomic<bool> traces_fail_ = false;     // the last export did
    std::atomic<bool> metrics_fail_ = false;    // likewise
    std::optional<clock::time_point> stop_by_;  // nothing: it goes on
    std::string why_dropped_;
    std::uint64_t told_of_ = 0;  // of dropped_
    clock::time_point told_at_;
    std::mutex join_mutex_;
    std::thread thread_;  // the last: it uses all of that
};

}  // namespace snakepit::detail
