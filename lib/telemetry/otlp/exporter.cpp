#include "telemetry/otlp/exporter.hpp"

#include "process/fork_shield.hpp"
#include "telemetry/otlp/encode.hpp"

#include <fmt/format.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <algorithm>
#include <future>
#include <random>
#include <utility>
#if __has_include(<grpcpp/impl/proto_utils.h>)
#include <grpcpp/impl/proto_utils.h>  // protobuf messages on a generic stub
#else
#include <grpcpp/impl/codegen/proto_utils.h>
#endif

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;

constexpr int most_attempts = 6;  // 1 + 2 + 4 + 8 + 16 s between them, and what each takes
constexpr auto first_pause = 1'000ms;
constexpr auto longest_pause = 16'000ms;
constexpr auto between_losses = 10s;
constexpr auto longest_wish = 60'000ms;                   // of a receiver, for a pause
constexpr std::size_t most_bytes = std::size_t{3} << 20;  // and one span; receivers take 4 MiB, unless told otherwise

const std::string trace_service = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const std::string metrics_service = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// For how long a receiver wants to be left alone. @return  nothing: it does not say
std::optional<std::chrono::milliseconds> wished_pause(const grpc::Status& status) {
    otlp::RpcStatus details;
    if (!details.ParseFromString(status.error_details())) return std::nullopt;
    for (const auto& d : details.details()) {
        otlp::RetryInfo info;
        if (!d.type_url().ends_with("/google.rpc.RetryInfo") || !info.ParseFromString(d.value())) continue;
        const auto seconds = std::clamp<std::int64_t>(info.retry_delay().seconds(), 0, longest_wish / 1s);
        return std::chrono::milliseconds(1'000 * seconds + std::max(info.retry_delay().nanos(), 0) / 1'000'000);
    }
    return std::nullopt;
}

/// https://opentelemetry.io/docs/specs/otlp/#failures
bool may_succeed_later(const grpc::Status& status) {
    switch (status.error_code()) {
        case grpc::StatusCode::CANCELLED:
        case grpc::StatusCode::DEADLINE_EXCEEDED:
        case grpc::StatusCode::ABORTED:
        case grpc::StatusCode::OUT_OF_RANGE:
        case grpc::StatusCode::UNAVAILABLE:
        case grpc::StatusCode::DATA_LOSS: return true;
        case grpc::StatusCode::RESOURCE_EXHAUSTED:
            return wished_pause(status).has_value();  // or the batch is too large
        default: return false;
    }
}

grpc::ByteBuffer to_bytes(const std::string& text) {
    const grpc::Slice all(text);
    return {&all, 1};
}

}  // namespace

/// The connection to one receiver.
class otlp_exporter::channel {
public:
    explicit channel(const otlp_target& to) : to_(to) {
        grpc::ChannelArguments how;
        how.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // nothing is shared with the application's channels
        how.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);             // they are ours
        how.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
        how.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
        how.SetUserAgentPrefix("OTel-OTLP-Exporter-snakepit");
        auto credentials = grpc::InsecureChannelCredentials();
        if (to.tls) credentials = grpc::SslCredentials({to.certificate, to.client_key, to.client_certificate});
        channel_ = grpc::CreateCustomChannel(to.address, credentials, how);
    }

    /// Waits for the answer, no longer than the target's timeout and `until`, and not after `cancel`.
    template <class Request, class Response>
    grpc::Status send(const std::string& method, const Request& request, Response& response, clock::time_point until) {
        grpc::ClientContext context;
        {
            const std::lock_guard lock(mutex_);
            if (cancelled_) return {grpc::StatusCode::CANCELLED, "the pool is stopping"};
            current_ = &context;
        }
        const auto left = std::min<clock::duration>(to_.timeout, std::max<clock::duration>(until - clock::now(), 1ms));
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::ceil<std::chrono::milliseconds>(left));
        for (const auto& [key, text] : to_.headers) context.AddMetadata(key, text);
        if (to_.gzip) context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
        const auto done = std::make_shared<std::promise<grpc::Status>>();  // it may still notify when we have its word
        auto outcome = done->get_future();
        grpc::TemplatedGenericStub<Request, Response> stub(channel_);
        stub.UnaryCall(&context, method, grpc::StubOptions(), &request, &response,
                       [done](grpc::Status how) { done->set_value(std::move(how)); });
        auto status = outcome.get();
        const std::lock_guard lock(mutex_);
        current_ = nullptr;
        return status;
    }
    /// The export that is under way, and all later ones.
    void cancel() {
        const std::lock_guard lock(mutex_);
        cancelled_ = true;
        if (current_) current_->TryCancel();
    }

private:
    const otlp_target to_;
    std::shared_ptr<grpc::Channel> channel_;
    std::mutex mutex_;
    grpc::ClientContext* current_ = nullptr;
    bool cancelled_ = false;
};

otlp_exporter::otlp_exporter(otlp_settings how, metrics_source source, loss_listener on_loss)
    : how_(std::move(how)), source_(std::move(source)), on_loss_(std::move(on_loss)) {
    if (how_.traces) traces_ = std::make_unique<channel>(*how_.traces);
    if (how_.metrics && source_) {
        metrics_ = std::make_unique<channel>(*how_.metrics);
        metrics_at_ = clock::now() + how_.metrics_interval;
    }
    thread_ = std::thread([this] {
        try {
            run();
        } catch (...) {  // no memory: telemetry ends, the application goes on
            ended_ = true;
        }
    });
}

otlp_exporter::~otlp_exporter() { stop(); }

void otlp_exporter::take(const span& s) {
    if (fork_shield::in_child()) return;
    const std::lock_guard lock(mutex_);
    if (stop_by_ || !traces_ || spans_waiting_ >= how_.max_queue) {
        ++dropped_;
        if (why_dropped_.empty()) why_dropped_ = "spans come faster than they can be exported: the queue is full";
        return;
    }
    if (waiting_.empty()) oldest_at_ = clock::now();
    const bool is_next =
        waiting_.empty() || waiting_.back().count() >= how_.max_batch || waiting_.back().bytes() >= most_bytes;
    if (is_next) waiting_.emplace_back();
    waiting_.back().add(s);
    ++spans_waiting_;
    const bool is_time = spans_waiting_ == how_.max_batch || (is_next && waiting_.size() == 2);
    if (spans_waiting_ == 1 || is_time) changed_.notify_one();
}

void otlp_exporter::lost(std::uint64_t spans, const std::string& why) {
    if (spans == 0) return;
    const std::lock_guard lock(mutex_);
    drop(spans, why);
    changed_.notify_one();
}

void otlp_exporter::begin_stop(std::chrono::milliseconds limit) {
    const std::lock_guard lock(mutex_);
    if (!stop_by_) stop_by_ = clock::now() + limit;
    if (traces_ && traces_fail_) traces_->cancel();
    if (metrics_ && metrics_fail_) metrics_->cancel();
    changed_.notify_one();
}

void otlp_exporter::stop() {
    {
        const std::lock_guard lock(mutex_);
        stop_by_ = clock::now();
        changed_.notify_one();
    }
    if (traces_) traces_->cancel();  // what still waits for an answer
    if (metrics_) metrics_->cancel();
    const std::lock_guard one_at_a_time(join_mutex_);
    if (thread_.joinable()) thread_.join();
}

/// When there is something to do, unless something happens before.
otlp_exporter::clock::time_point otlp_exporter::next_look() const {
    auto when = metrics_at_;
    if (!waiting_.empty()) when = std::min(when, oldest_at_ + how_.schedule_delay);
    if (dropped_ != told_of_) when = std::min(when, told_at_ + between_losses);
    return when;
}

void otlp_exporter::run() {
    std::unique_lock lock(mutex_);
    while (!stop_by_) {
        export_metrics_if_due(lock);
        if (stop_by_) break;
        const bool has_batch = waiting_.size() > 1 || spans_waiting_ >= how_.max_batch;
        const auto now = clock::now();
        if (has_batch || (!waiting_.empty() && now >= oldest_at_ + how_.schedule_delay)) {
            export_spans(lock);
        } else if (const auto until = next_look(); until > now) {
            if (until == clock::time_point::max()) changed_.wait(lock);
            else changed_.wait_until(lock, until);
        }
        tell_of_losses(lock);
    }
    while (!waiting_.empty() && !traces_fail_ && clock::now() < *stop_by_) export_spans(lock);
    if (metrics_ && !metrics_fail_ && clock::now() < *stop_by_) export_metrics(lock);
    drop(std::exchange(spans_waiting_, 0), "the pool has stopped");
    waiting_.clear();
    told_at_ = {};
    tell_of_losses(lock);
    ended_ = true;
}

/// The oldest, as many as one export may have.
span_batch otlp_exporter::next_batch() {
    auto batch = std::move(waiting_.front());
    waiting_.pop_front();
    spans_waiting_ -= batch.count();
    oldest_at_ = clock::now();
    return batch;
}

void otlp_exporter::export_spans(std::unique_lock<std::mutex>& lock) {
    auto batch = next_batch();
    const auto count = static_cast<std::int64_t>(batch.count());
    lock.unlock();  // calls wait for it
    const auto request = to_bytes(std::exchange(batch, {}).request(how_.resource));
    lock.lock();
    for (int attempt = 1;; ++attempt) {
        const auto until = stop_by_.value_or(clock::time_point::max());
        lock.unlock();
        otlp::ExportTraceServiceResponse response;
        const auto status = traces_->send(trace_service, request, response, until);
        lock.lock();
        traces_fail_ = !status.ok();
        if (status.ok()) {
            const auto rejected = std::clamp<std::int64_t>(response.partial_success().rejected_spans(), 0, count);
            exported_ += static_cast<std::uint64_t>(count - rejected);
            if (told_of_ == dropped_) why_dropped_.clear();  // nothing was: it went well in the end
            drop(static_cast<std::uint64_t>(rejected),
                 "the receiver rejected some: " + response.partial_success().error_message());
            return;
        }
        const auto why = fmt::format("{}: {}", how_.traces->address, status.error_message());
        if (!may_succeed_later(status) || attempt == most_attempts || stop_by_)
            return drop(static_cast<std::uint64_t>(count), why);
        if (why_dropped_.empty()) why_dropped_ = why;  // of what the queue will not take meanwhile
        tell_of_losses(lock);
        if (!pause(lock, attempt, wished_pause(status).value_or(0ms)))
            return drop(static_cast<std::uint64_t>(count), why);
    }
}

void otlp_exporter::export_metrics_if_due(std::unique_lock<std::mutex>& lock) {
    const auto now = clock::now();
    if (now < metrics_at_) return;
    metrics_at_ = now + how_.metrics_interval;
    export_metrics(lock);
}

/// Not tried again: the next ones have all that these had.
void otlp_exporter::export_metrics(std::unique_lock<std::mutex>& lock) {
    const auto until = stop_by_.value_or(clock::time_point::max());
    lock.unlock();
    const auto request = encode(source_(), how_.resource, since_);
    otlp::ExportMetricsServiceResponse response;
    const auto status = metrics_->send(metrics_service, request, response, until);
    const auto& part = response.partial_success();
    std::string why;
    if (!status.ok()) why = fmt::format("metrics: {}: {}", how_.metrics->address, status.error_message());
    else if (part.rejected_data_points() > 0) why = "metrics: the receiver rejected some: " + part.error_message();
    lock.lock();
    const bool failed_before = metrics_fail_.exchange(!why.empty());
    if (why.empty() || failed_before || stop_by_) return;
    lock.unlock();
    on_loss_(0, why);
    lock.lock();
}

/// @return  false: there is no time for that
bool otlp_exporter::pause(std::unique_lock<std::mutex>& lock, int attempt, std::chrono::milliseconds at_least) {
    thread_local std::minstd_rand random{std::random_device{}()};
    const auto whole = std::min<std::chrono::milliseconds>(first_pause * (1 << (attempt - 1)), longest_pause);
    std::uniform_int_distribution<std::chrono::milliseconds::rep> jitter(0, whole.count() / 2);
    const auto until = clock::now() + std::max(at_least, whole - std::chrono::milliseconds(jitter(random)));
    while (!stop_by_ && clock::now() < until) {
        changed_.wait_until(lock, std::min(until, clock::now() + 200ms));
        export_metrics_if_due(lock);
        tell_of_losses(lock);
    }
    return !stop_by_;
}

void otlp_exporter::drop(std::uint64_t spans, std::string why) {
    if (spans == 0) return;
    dropped_ += spans;
    why_dropped_ = std::move(why);
}

void otlp_exporter::tell_of_losses(std::unique_lock<std::mutex>& lock) {
    const auto all = dropped_.load();
    const auto now = clock::now();
    if (all == told_of_ || (told_at_ != clock::time_point() && now < told_at_ + between_losses)) return;
    const auto more = all - std::exchange(told_of_, all);
    told_at_ = now;
    const auto why = std::exchange(why_dropped_, {});
    lock.unlock();
    on_loss_(more, why);
    lock.lock();
}

}  // namespace snakepit::detail
