#include "telemetry/pool_telemetry.hpp"

#include "process/fork_shield.hpp"
#include "telemetry/otlp/settings.hpp"

#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <chrono>
#include <cstdlib>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;

constexpr auto stop_limit = 1'000ms;  // for a receiver that is slow to take the last spans
constexpr auto stop_look = 5ms;

const char* environment(const char* name) { return std::getenv(name); }

int python_level_of(log_level least) {
    switch (least) {
        case log_level::debug: return 10;
        case log_level::info: return 20;
        case log_level::warning: return 30;
        case log_level::error: return 40;
        case log_level::off: break;
    }
    return 100;
}

}  // namespace

pool_telemetry::pool_telemetry(const pool_options& options, std::function<pool_stats()> stats)
    : options_(options.telemetry),
      wants_metrics_(options.metrics),
      metrics_listen_(options.metrics_listen),
      queue_limits_(queue_limits_of(options)),
      stats_(std::move(stats)),
      redactor_(std::make_shared<const redactor>(options.log.redact)),
      logger_(options.log, events_, redactor_),
      python_level_(std::make_shared<std::atomic<int>>(python_level_of(options.log.level))) {}

pool_telemetry::~pool_telemetry() {
    if (const auto exports = exporter()) exports->stop();  // it asks for metrics
}

result<void> pool_telemetry::start() {
    if (wants_metrics_)
        metrics_ = std::make_unique<pool_metrics>(*events_, stats_, queue_limits_, wants_rpc_metrics(environment));
    has_metrics_ = wants_metrics_;
    if (auto exports = start_export(); !exports) return exports;
    return listen();
}

result<void> pool_telemetry::start_export() {
    auto settings = otlp_settings_from(options_, environment);
    if (!settings) return tl::unexpected(settings.error());
    for (const auto& w : settings->warnings)
        events_->publish([&] { return happened::setting_ignored{redactor_->text(w)}; });
    if (!wants_metrics_) settings->metrics.reset();
    if (!settings->traces && !settings->metrics) return {};
    const auto traced = settings->traced;
    const bool traces = settings->traces.has_value();
    auto made = std::make_shared<otlp_exporter>(
        std::move(*settings), [this] { return metrics_->collect(); },
        [events = events_](std::uint64_t spans, const std::string& why) {
            events->publish([&] { return happened::telemetry_dropped{spans, why}; });
        });
    if (traces) {
        spans_ = made;
        tracer_ = std::make_shared<const tracer>(traced, *events_, redactor_, made);
    }
    const std::lock_guard lock(mutex_);
    exporter_ = std::move(made);
    return {};
}

std::shared_ptr<otlp_exporter> pool_telemetry::exporter() const {
    const std::lock_guard lock(mutex_);
    return exporter_;
}

asio::awaitable<void> pool_telemetry::stop(pool_telemetry& self) {
    const auto exports = self.exporter();
    if (exports) {
        exports->begin_stop(stop_limit);
        asio::steady_timer pause(co_await asio::this_coro::executor);
        for (auto waited = 0ms; waited < stop_limit && !exports->has_ended(); waited += stop_look) {
            pause.expires_after(stop_look);
            asio::error_code woken;
            co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        }
    }
    self.end_now();
}

result<void> pool_telemetry::listen() {
    if (metrics_listen_.empty()) return {};
    auto server = metrics_server::start(metrics_listen_, [this] { return metrics_text(); });
    if (!server) return tl::unexpected(std::move(server).error());
    const std::lock_guard lock(server_mutex_);
    if (is_over_) return {};
    metrics_port_ = (*server)->port();
    server_ = std::move(*server);
    return {};
}

void pool_telemetry::stop_listening() {
    std::unique_lock lock(server_mutex_);
    is_over_ = true;
    const auto ended = std::move(server_);
    lock.unlock();
    metrics_port_ = 0;
}

void pool_telemetry::end_now() noexcept {
    if (const auto exports = exporter()) exports->stop();
    stop_listening();
    events_->close();
}

void pool_telemetry::set_log_level(snakepit::log_level least) {
    logger_.set_level(least);
    *python_level_ = python_level_of(least);
}

std::string pool_telemetry::metrics_text() const {
    if (!has_metrics_ || fork_shield::in_child()) return {};  // there a mutex may be held by a thread that is no more
    return metrics_->text();
}

void pool_telemetry::add_to(pool_stats& s) const {
    s.metrics_port = metrics_port_;
    const auto exports = exporter();
    if (!exports) return;
    s.spans_exported = exports->exported();
    s.spans_dropped = exports->dropped();
}

}  // namespace snakepit::detail
