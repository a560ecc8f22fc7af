#pragma once
// All that a pool tells of itself, in one place: the bus, and what listens to it.

#include "telemetry/event_bus.hpp"
#include "telemetry/logger.hpp"
#include "telemetry/metrics.hpp"
#include "telemetry/metrics_server.hpp"
#include "telemetry/otlp/exporter.hpp"
#include "telemetry/redactor.hpp"
#include "telemetry/tracer.hpp"

#include <snakepit/error.hpp>
#include <snakepit/options.hpp>
#include <snakepit/stats.hpp>

#include <asio/awaitable.hpp>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace snakepit::detail {

/** The bus is there from the beginning, the rest from `start` on.

    @par Thread safety  `start` and `stop` on the pool's strand, the rest from any thread */
class pool_telemetry {
public:
    /// @param stats  asked when metrics are read; may be called until `stop` has returned
    pool_telemetry(const pool_options& options, std::function<pool_stats()> stats);
    ~pool_telemetry();
    pool_telemetry(const pool_telemetry&) = delete;
    pool_telemetry& operator=(const pool_telemetry&) = delete;

    /// @return  or errc::invalid_options (an environment variable that cannot be), listen_failed
    [[nodiscard]] result<void> start();
    /// Exports what there is, for a second at most, and ends.
    static asio::awaitable<void> stop(pool_telemetry& self);
    /// The pool object is destroyed: nothing is waited for.
    void end_now() noexcept;

    [[nodiscard]] const std::shared_ptr<event_bus>& events() const noexcept { return events_; }
    [[nodiscard]] const std::shared_ptr<const redactor>& redact_with() const noexcept { return redactor_; }
    /// Null: nothing is traced.
    [[nodiscard]] const std::shared_ptr<const tracer>& traces() const noexcept { return tracer_; }
    [[nodiscard]] const std::shared_ptr<span_sink>& spans() const noexcept { return spans_; }
    void set_log_level(log_level least);
    [[nodiscard]] snakepit::log_level log_level() const { return logger_.level(); }
    /// As Python has it: from which on workers send what is logged there.
    [[nodiscard]] const std::shared_ptr<std::atomic<int>>& python_level() const noexcept { return python_level_; }
    /// Empty before `start`.
    [[nodiscard]] std::string metrics_text() const;
    /// Nobody asks for metrics by HTTP any more. Within milliseconds, and from any thread.
    void stop_listening();
    /// Fills in what it knows.
    void add_to(pool_stats& s) const;

private:
    [[nodiscard]] result<void> start_export();
    [[nodiscard]] std::shared_ptr<otlp_exporter> exporter() const;
    [[nodiscard]] result<void> listen();

    const telemetry_options options_;
    const bool wants_metrics_;
    const std::string metrics_listen_;
    const queue_limits queue_limits_;
    const std::function<pool_stats()> stats_;
    const std::shared_ptr<event_bus> events_ = std::make_shared<event_bus>();
    const std::shared_ptr<const redactor> redactor_;
    logger logger_;
    const std::shared_ptr<std::atomic<int>> python_level_;
    mutable std::mutex mutex_;
    std::shared_ptr<otlp_exporter> exporter_;  // null: nothing is exported
    std::shared_ptr<span_sink> spans_;
    std::shared_ptr<const tracer> tracer_;
    std::unique_ptr<pool_metrics> metrics_;  // made before `has_metrics_` says so, and there from then on
    std::atomic<bool> has_metrics_ = false;
    std::mutex server_mutex_;
    std::unique_ptr<metrics_server> server_;  // the mutex's, as the next
    bool is_over_ = false;
    std::atomic<int> metrics_port_ = 0;
};

}  // namespace snakepit::detail
