#include "telemetry/logger.hpp"

#include "telemetry/event_fields.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <utility>

namespace snakepit::detail {
namespace {

double seconds(std::chrono::microseconds d) { return std::chrono::duration<double>(d).count(); }

std::string of_group(const std::string& name) { return name.empty() ? "the pool" : "group " + name; }

/// What is said of each kind, in words. Durations and ids that are fields are not said again.
struct in_words {
    std::string operator()(const happened::pool_started& e) const { return "the pool of " + e.module + " is up"; }
    std::string operator()(const happened::pool_draining&) const { return "no more calls are let in"; }
    std::string operator()(const happened::pool_resumed&) const { return "calls are let in again"; }
    std::string operator()(const happened::pool_stopped&) const { return "the pool has stopped"; }
    std::string operator()(const happened::connection_refused& e) const { return "a connection was refused: " + e.why; }
    std::string operator()(const happened::worker_hired&) const { return "a worker was hired"; }
    std::string operator()(const happened::worker_left&) const { return "a worker has left"; }
    std::string operator()(const happened::worker_moved& e) const {
        return fmt::format("{} > {} ({}){}{}", to_string(e.from), to_string(e.to), e.cause, e.why.empty() ? "" : ": ",
                           e.why);
    }
    std::string operator()(const happened::worker_ended& e) const {
        return e.planned ? "a worker has ended as it was told" : e.why.full();
    }
    std::string operator()(const happened::worker_restarting& e) const {
        return fmt::format("a worker is started again in {} ms", e.pause.count());
    }
    std::string operator()(const happened::worker_recycled& e) const {
        return fmt::format("a worker was replaced: {}", to_string(e.reason));
    }
    std::string operator()(const happened::heartbeat_answered&) const { return "a heartbeat was answered"; }
    std::string operator()(const happened::loop_blocked& e) const {
        if (e.stack.empty())
            return fmt::format("the event loop turns again after {:.1f} s, held up by {}", seconds(e.so_far), e.by);
        return fmt::format("the event loop has been held up for {:.1f} s by {}, it is at\n{}", seconds(e.so_far), e.by,
                           e.stack);
    }
    std::string operator()(const happened::worker_wrote& e) const { return e.line; }
    std::string operator()(const happened::worker_logged& e) const { return e.message; }
    std::string operator()(const happened::output_dropped& e) const {
        return fmt::format("{} lines of {} came too fast and were left out", e.lines, e.stream);
    }
    std::string operator()(const happened::group_degraded& e) const {
        return of_group(e.group) + " is degraded: " + e.why;
    }
    std::string operator()(const happened::group_recovered& e) const { return of_group(e.group) + " has recovered"; }
    std::string operator()(const happened::group_resized& e) const {
        return fmt::format("{} is to have {} to {} workers", of_group(e.group), e.to.min, std::max(e.to.min, e.to.max));
    }
    std::string operator()(const happened::tool_degraded& e) const {
        return "tool " + e.tool + " ends its workers and is out of service";
    }
    std::string operator()(const happened::tool_recovered& e) const { return "tool " + e.tool + " has replied again"; }
    std::string operator()(const happened::call_ended& e) const {
        const auto total = std::chrono::duration_cast<std::chrono::microseconds>(e.ended - e.submitted);
        return fmt::format("a call ended after {:.6f} s: {}", seconds(total), e.why ? e.why->message() : e.outcome);
    }
    std::string operator()(const happened::call_slow& e) const {
        return fmt::format("a call of {} has run for {:.3f} s, it is at\n{}", e.tool, seconds(e.running_for), e.stack);
    }
    std::string operator()(const happened::setting_ignored& e) const { return e.why; }
    std::string operator()(const happened::telemetry_dropped& e) const {
        if (e.spans == 0) return fmt::format("could not be exported: {}", e.why);
        return fmt::format("{} spans could not be exported: {}", e.spans, e.why);
    }
};

/// Whose record it is.
std::string logger_of(const happened::any& what) {
    if (const auto* wrote = std::get_if<happened::worker_wrote>(&what)) return wrote->stream;
    if (const auto* logged = std::get_if<happened::worker_logged>(&what)) return logged->logger;
    return "snakepit";
}

/// What is in the message already, or too long for a field.
bool is_said(std::string_view field) {
    constexpr std::string_view all[] = {"line", "message", "stack", "why", "level",    "logger", "stream",
                                        "from", "to",      "cause", "by",  "attempts", "fields"};
    return std::ranges::find(all, field) != std::end(all);
}

/// What a tool says beside its message does not look as if the pool had said it.
bool is_ours(std::string_view field) {
    constexpr std::string_view all[] = {"event", "worker",   "incarnation", "call",
                                        "tool",  "trace_id", "span_id",     "left_out_before"};
    return std::ranges::find(all, field) != std::end(all);
}

using field_list = std::vector<std::pair<std::string, std::string>>;

void put(field_list& to, const char* name, const std::string& text) {
    if (!text.empty()) to.emplace_back(name, text);
}
void put(field_list& to, const char* name, std::string_view text) { put(to, name, std::string(text)); }
void put(field_list& to, const char* name, bool b) { to.emplace_back(name, b ? "true" : "false"); }
void put(field_list& to, const char* name, int n) {
    if (n != 0) to.emplace_back(name, fmt::format("{}", n));
}
void put(field_list& to, const char* name, std::uint64_t n) {
    if (n != 0) to.emplace_back(name, fmt::format("{}", n));
}
template <class Rep, class Period>
void put(field_list& to, const char* name, std::chrono::duration<Rep, Period> d) {
    to.emplace_back(name, fmt::format("{:.6f}", std::chrono::duration<double>(d).count()));
}
template <std::size_t Bytes>
void put(field_list& to, const char* name, const binary_id<Bytes>& id) {
    put(to, name, to_string(id));
}
template <class Other>
void put(field_list&, const char*, const Other&) {}  // in the message

field_list fields_of(const event& e) {
    field_list all;
    all.emplace_back("event", name_of(e));
    for_each_field(e.what, [&](const char* name, const auto& member) {
        if (!is_said(name)) put(all, name, member);
    });
    if (const auto* logged = std::get_if<happened::worker_logged>(&e.what))
        for (const auto& [key, value] : logged->fields) all.emplace_back(is_ours(key) ? "extra." + key : key, value);
    return all;
}

struct levels {
    log_level operator()(const happened::heartbeat_answered&) const { return log_level::off; }
    log_level operator()(const happened::call_ended&) const { return log_level::debug; }
    log_level operator()(const happened::worker_moved&) const { return log_level::debug; }
    log_level operator()(const happened::worker_logged& e) const { return e.level; }
    log_level operator()(const happened::worker_ended& e) const {
        return e.planned ? log_level::info : log_level::warning;
    }
    log_level operator()(const happened::loop_blocked& e) const {
        return e.stack.empty() ? log_level::info : log_level::warning;
    }
    log_level operator()(const happened::connection_refused&) const { return log_level::warning; }
    log_level operator()(const happened::output_dropped&) const { return log_level::warning; }
    log_level operator()(const happened::call_slow&) const { return log_level::warning; }
    log_level operator()(const happened::setting_ignored&) const { return log_level::warning; }
    log_level operator()(const happened::telemetry_dropped&) const { return log_level::warning; }
    log_level operator()(const happened::group_degraded&) const { return log_level::error; }
    log_level operator()(const happened::tool_degraded&) const { return log_level::error; }
    template <class Other>
    log_level operator()(const Other&) const {
        return log_level::info;
    }
};

/// The kinds of which one may be logged at that level.
event_filter filter_for(log_level least) {
    if (least == log_level::off) return event_filter::only<>();
    event_filter f = event_filter::lifecycle();
    if (least == log_level::debug) return f.with<happened::call_ended>();
    f = f.without<happened::worker_moved>();
    if (least == log_level::info) return f;
    f = event_filter::only<happened::worker_ended, happened::worker_logged, happened::loop_blocked,
                           happened::connection_refused, happened::output_dropped, happened::call_slow,
                           happened::setting_ignored, happened::telemetry_dropped, happened::group_degraded,
                           happened::tool_degraded>();
    if (least == log_level::warning) return f;
    return event_filter::only<happened::worker_logged, happened::group_degraded, happened::tool_degraded>();
}

}  // namespace

log_level logger::level_of(const happened::any& what) { return std::visit(levels(), what); }

logger::logger(log_options how, std::shared_ptr<event_bus> events, std::shared_ptr<const redactor> redact_with)
    : sink_(std::move(how.sink)), events_(std::move(events)), redactor_(std::move(redact_with)) {
    heard_ = events_->subscribe(event_filter::only<>(), [this](const event& e) { take(e); });
    set_level(how.level);
}

void logger::set_level(log_level least) {
    const std::lock_guard one_at_a_time(change_mutex_);
    {
        const std::lock_guard lock(mutex_);
        level_ = least;
    }
    events_->refilter(heard_, filter_for(least));
}

log_level logger::level() const {
    const std::lock_guard lock(mutex_);
    return level_;
}

bool logger::is_allowed(const event& e, std::uint64_t& left_out) {
    const bool has_own_limit =
        std::holds_alternative<happened::worker_wrote>(e.what) ||
        std::holds_alternative<happened::worker_logged>(e.what) ||
        std::holds_alternative<happened::call_ended>(e.what);  // whoever asks for debug wants all
    if (has_own_limit) return true;
    auto& a = allowances_[e.what.index()];
    const auto now = clock::now();
    a.left = std::min(burst, a.left + std::chrono::duration<double>(now - a.at).count() * per_second);
    a.at = now;
    if (a.left < 1) {
        ++a.left_out;
        return false;
    }
    a.left -= 1;
    left_out = std::exchange(a.left_out, 0);
    return true;
}

void logger::take(const event& e) {
    const auto level = level_of(e.what);
    std::uint64_t left_out = 0;
    {
        const std::lock_guard lock(mutex_);
        if (level == log_level::off || level < level_ || !is_allowed(e, left_out)) return;
    }
    log_record r{e.time, level, redactor_->text(logger_of(e.what)), redactor_->text(std::visit(in_words(), e.what)),
                 redactor_->fields(fields_of(e))};
    if (left_out != 0) r.fields.emplace_back("left_out_before", std::to_string(left_out));
    write(r);
}

void logger::write(const log_record& r) {
    if (sink_) return sink_(r);
    stderr_.take(to_line(r) + '\n');
}

}  // namespace snakepit::detail
