#include "wire/attachment.hpp"

#include "pool/desk.hpp"
#include "pool/limits.hpp"
#include "value/utf8.hpp"
#include "wire/control_stream.hpp"
#include "wire/work_stream.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <algorithm>

namespace snakepit::detail {

namespace {

void describe(const tool_spec& tool, v1::ToolSpec& to) {
    to.set_name(tool.name);
    to.set_doc(valid_utf8(tool.doc));
    to.set_returns(tool.returns);
    for (const auto& p : tool.parameters) {
        auto& each = *to.add_parameters();
        each.set_name(valid_utf8(p.name));
        each.set_kind(v1::Parameter::POSITIONAL_OR_KEYWORD);
        each.set_annotation(p.annotation);
    }
}

}  // namespace

attachment::attachment(identity who, limits allowed, std::shared_ptr<switchboard> board, std::shared_ptr<desk> answers,
                       page::revocations revoked, std::function<void(attachment_event)> tell)
    : who_(std::move(who)),
      allowed_(allowed),
      board_(std::move(board)),
      desk_(std::move(answers)),
      revoked_(std::move(revoked)),
      tell_(std::move(tell)) {}
attachment::~attachment() = default;

bool attachment::bind(unique_fd for_cut) {
    {
        const std::lock_guard lock(mutex_);
        if (bound_ || broken_) return false;
        bound_ = true;
        for_cut_ = shielded_fd(std::move(for_cut));
    }
    tell_(heard::connected{});
    return true;
}

std::string attachment::check(std::string_view worker, std::string_view incarnation, std::string_view secret) const {
    if (!who_.secret.matches(secret)) return "wrong token";
    if (worker != who_.worker || incarnation != std::to_string(who_.incarnation)) return "wrong worker or incarnation";
    if (broken_) return "this incarnation has ended";
    return {};
}

std::string attachment::admit_control(std::string_view worker, std::string_view incarnation, std::string_view secret,
                                      std::shared_ptr<control_stream> stream) {
    const std::lock_guard lock(mutex_);
    if (auto why = check(worker, incarnation, secret); !why.empty()) return why;
    if (std::exchange(had_control_, true)) return "this token was used for Control before";
    control_ = std::move(stream);
    return {};
}

std::string attachment::admit_work(std::string_view worker, std::string_view incarnation, std::string_view secret,
                                   std::shared_ptr<work_stream> stream) {
    {
        const std::lock_guard lock(mutex_);
        if (auto why = check(worker, incarnation, secret); !why.empty()) return why;
        if (!welcomed_) return "Work before Welcome";
        if (std::exchange(had_work_, true)) return "this token was used for Work before";
        work_ = std::move(stream);
    }
    tell_(heard::work_open{});
    return {};
}

void attachment::welcome(std::uint32_t spoken_by_worker, int log_level) {
    v1::ControlDown message;
    auto& w = *message.mutable_welcome();
    w.set_protocol_minor(std::min(spoken_by_worker, protocol_minor));
    w.set_max_calls(static_cast<std::uint32_t>(allowed_.max_calls));
    w.set_max_frame_bytes(max_frame_bytes);
    w.set_max_message_bytes(allowed_.max_message_bytes);
    w.set_max_inflight_bytes(max_inflight_bytes);
    w.set_slow_call_us(static_cast<std::uint64_t>(allowed_.slow_call.count()));
    w.set_wants_spans(allowed_.wants_spans);
    w.set_log_level(static_cast<std::uint32_t>(log_level));
    for (const auto& tool : desk_->tools().specs()) describe(tool, *w.add_host_tools());
    {
        const std::lock_guard lock(mutex_);
        welcomed_ = true;
    }
    send(message);
}

void attachment::refuse(const error& why) {
    v1::ControlDown message;
    auto& r = *message.mutable_refuse();
    r.set_reason(why == errc::protocol_mismatch ? v1::Refuse::VERSION_MISMATCH : v1::Refuse::BAD_HELLO);
    r.set_message(why.message());
    r.set_protocol_major(protocol_major);
    r.set_protocol_minor(protocol_minor);
    send(message);
}

void attachment::carry(std::shared_ptr<line> l) {
    if (const auto to = work()) to->carry(std::move(l));
}

void attachment::drain(std::uint64_t last_id) {
    v1::ControlDown message;
    message.mutable_drain()->set_last_id(last_id);
    send(message);
}

void attachment::stop(std::uint64_t last_id) {
    v1::ControlDown message;
    message.mutable_stop()->set_last_id(last_id);
    send(message);
}

void attachment::ping(std::uint64_t sequence) {
    v1::ControlDown message;
    message.mutable_ping()->set_sequence(sequence);
    send(message);
}

void attachment::ask_for_stacks(std::uint64_t number) {
    v1::ControlDown message;
    message.mutable_stacks_request()->set_number(number);
    send(message);
}

void attachment::set_log_level(int python_level) {
    v1::ControlDown message;
    message.mutable_log_level()->set_least(static_cast<std::uint32_t>(python_level));
    send(message);
}

void attachment::cancel(const std::vector<std::uint64_t>& ids) {
    v1::ControlDown message;
    message.mutable_cancel()->mutable_ids()->Add(ids.begin(), ids.end());
    send(message);
    tell_(heard::asked_to_stop{});
}

void attachment::recall(const std::vector<std::uint64_t>& ids) {
    v1::ControlDown message;
    message.mutable_recall()->mutable_ids()->Add(ids.begin(), ids.end());
    send(message);
}

void attachment::flush() {
    if (fork_shield::in_child()) return;  // the connection is the parent's
    if (const auto to = work()) to->flush();
}

void attachment::cut(const std::string& why) {
    report_broken(why);
    std::unique_lock lock(mutex_);
    const auto control = std::exchange(control_, nullptr);
    const auto work = std::exchange(work_, nullptr);
    // First the socket: a stream whose write is stuck ends by nothing else while a forked child holds the other end.
    if (for_cut_) ::shutdown(for_cut_.get(), SHUT_RDWR);
    for_cut_.reset();
    lock.unlock();
    if (control) control->finish(grpc::Status(grpc::StatusCode::ABORTED, why));
    if (work) work->finish(grpc::Status(grpc::StatusCode::ABORTED, why));
}

void attachment::send(const v1::ControlDown& message) {
    if (fork_shield::in_child()) return;
    std::unique_lock lock(mutex_);
    const auto to = control_;
    lock.unlock();
    if (to) to->send(message);
}

std::shared_ptr<work_stream> attachment::work() {
    const std::lock_guard lock(mutex_);
    return work_;
}

void attachment::report_broken(const std::string& why, bool breach) {
    {
        const std::lock_guard lock(mutex_);
        if (std::exchange(broken_, true)) return;
    }
    // In this turn, not in the capsule's: its executor may be busy, and calls must not go where nobody is.
    if (const auto to = work()) to->suspend();
    tell_(heard::broken{why, breach});
}

}  // namespace snakepit::detail
