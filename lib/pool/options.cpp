#include "pool/group.hpp"
#include "pool/sizing.hpp"
#include "telemetry/listen_address.hpp"

#include <snakepit/options.hpp>

#include <fmt/format.h>
#include <algorithm>
#include <set>
#include <string_view>

namespace snakepit {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_groups = 16;

bool is_identifier(std::string_view part) {
    if (part.empty() || (part[0] >= '0' && part[0] <= '9')) return false;
    for (const char c : part) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        const bool other = (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80;
        if (!letter && !other) return false;
    }
    return true;
}

bool is_module_name(std::string_view name) {
    for (;;) {
        const auto dot = name.find('.');
        if (!is_identifier(name.substr(0, dot))) return false;
        if (dot == std::string_view::npos) return true;
        name.remove_prefix(dot + 1);
    }
}

bool is_group_name(std::string_view name) {
    const auto is_letter = [](char ch) { return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z'); };
    const auto is_other = [](char ch) { return (ch >= '0' && ch <= '9') || ch == '_' || ch == '-'; };
    return !name.empty() && name.size() <= 32 && is_letter(name[0]) &&
           std::ranges::all_of(name, [&](char ch) { return is_letter(ch) || is_other(ch); });
}

class checker {
public:
    void require(bool fits, std::string field, std::string value, std::string allowed) {
        if (!fits) found.push_back({prefix + field, std::move(value), std::move(allowed)});
    }
    template <class T>
    void range(const char* field, T value, T least, T most) {
        require(value >= least && value <= most, field, fmt::format("{}", value), fmt::format("{} to {}", least, most));
    }
    void time(const char* field, std::chrono::milliseconds value, std::chrono::milliseconds least,
              std::chrono::milliseconds most) {
        require(value >= least && value <= most, field, fmt::format("{} ms", value.count()),
                fmt::format("{} ms to {} ms", least.count(), most.count()));
    }
    /// What a group has of its own.
    void workers(const pool_options& o) {
        for (auto& m : detail::mistakes_of(o.workers, o.queue_limit))
            require(false, std::move(m.field), std::move(m.value), std::move(m.allowed));
        range<std::size_t>("queue_limit", o.queue_limit, 0, 10'000'000);
        range("calls_per_worker", o.calls_per_worker, 1, 4'096);
        require(o.profile == worker_profile::process || o.profile == worker_profile::thread ||
                    o.profile == worker_profile::async,
                "profile", fmt::format("{}", static_cast<int>(o.profile)),
                "worker_profile::process, worker_profile::thread or worker_profile::async");
        range("threads_per_worker", o.threads_per_worker, 1, 256);
        range("max_concurrency", o.max_concurrency, 1, 4'096);
        if (o.lifecycle.max_age != 0ms) time("lifecycle.max_age", o.lifecycle.max_age, 100ms, 24h * 10'000);
        time("lifecycle.max_latency", o.lifecycle.max_latency, 0ms, 1h);
        range("lifecycle.jitter", o.lifecycle.jitter, 0.0, 0.5);
        range("lifecycle.max_recycling", o.lifecycle.max_recycling, 1, 1'000);
        time("scaling.up_after", o.scaling.up_after, 1ms, 1h);
        time("scaling.down_after", o.scaling.down_after, 10ms, 24h);
    }
    void groups(const pool_options& o) {
        require(o.groups.size() <= most_groups, "groups", fmt::format("{} of them", o.groups.size()),
                fmt::format("at most {}", most_groups));
        const std::string names = "a name of 1 to 32 letters, digits, '_' and '-' that begins with a letter";
        require(o.group.empty() || is_group_name(o.group), "group", '"' + o.group + '"', names);
        std::set<std::string> taken{o.group};
        for (const auto& g : o.groups) {
            require(is_group_name(g.name), "groups.name", '"' + g.name + '"', names);
            require(g.name.empty() || taken.insert(g.name).second, "groups.name", '"' + g.name + '"',
                    "a name that no other group has");
            prefix = fmt::format("groups.{}.", g.name);
            workers(detail::options_of(o, g));
            prefix.clear();
        }
    }

    std::vector<option_mistake> found;
    std::string prefix;
};

}  // namespace

std::vector<option_mistake> pool_options::mistakes() const {
    checker c;
    c.require(is_module_name(module), "module", '"' + module + '"',
              "the import name of a Python module, such as \"text_tools\" or \"app.tools\"");
    c.workers(*this);
    c.groups(*this);
    c.require(start_method == start_method::fork || start_method == start_method::spawn, "start_method",
              fmt::format("{}", static_cast<int>(start_method)), "start_method::fork or start_method::spawn");
    c.time("start_timeout", start_timeout, 100ms, 1h);
    c.time("drain_timeout", drain_timeout, 0ms, 24h);
    c.time("stop_grace", stop_grace, 1ms, 10min);
    c.time("restart_backoff.first", restart_backoff.first, 1ms, 1h);
    c.time("restart_backoff.longest", restart_backoff.longest, 1ms, 1h);
    c.require(restart_backoff.first <= restart_backoff.longest, "restart_backoff.first",
              fmt::format("{} ms", restart_backoff.first.count()), "not above restart_backoff.longest");
    c.time("cancel_grace", cancel_grace, 1ms, 24h);
    c.time("heartbeat.interval", heartbeat.interval, 10ms, 1h);
    c.time("heartbeat.timeout", heartbeat.timeout, 10ms, 1h);
    c.range("heartbeat.max_missed", heartbeat.max_missed, 1, 1'000);
    c.time("heartbeat.initial_delay", heartbeat.initial_delay, 0ms, 1h);
    c.range("heartbeat.jitter", heartbeat.jitter, 0.0, 0.5);
    c.range<std::size_t>("sessions.max_sessions", sessions.max_sessions, 1, 100'000'000);
    c.range<std::size_t>("sessions.max_variables", sessions.max_variables, 1, 1'000'000);
    c.range<std::size_t>("sessions.max_value_bytes", sessions.max_value_bytes, 1, std::size_t{1} << 30);
    c.range<std::size_t>("sessions.max_session_bytes", sessions.max_session_bytes, 1, std::size_t{1} << 30);
    c.time("sessions.ttl", sessions.ttl, 0ms, 24h * 10'000);
    c.require(sessions.affinity <= affinity::strict_fail_fast, "sessions.affinity",
              fmt::format("{}", static_cast<int>(sessions.affinity)),
              "affinity::none, hint, strict or strict_fail_fast");
    c.require(sessions.when_worker_goes <= when_worker_goes::fail, "sessions.when_worker_goes",
              fmt::format("{}", static_cast<int>(sessions.when_worker_goes)),
              "when_worker_goes::migrate or when_worker_goes::fail");
    c.range("restart_limit.per_worker", restart_limit.per_worker, 1, 1'000'000);
    c.range("restart_limit.per_pool", restart_limit.per_pool, 1, 1'000'000);
    c.range("restart_limit.per_tool", restart_limit.per_tool, 1, 1'000'000);
    c.time("restart_limit.window", restart_limit.window, 1s, 24h);
    c.range<std::size_t>("max_message_bytes", max_message_bytes, 1 << 10, std::size_t{1} << 30);
    c.require(metrics || metrics_listen.empty(), "metrics_listen", '"' + metrics_listen + '"',
              "empty, since metrics is false");
    c.require(metrics_listen.empty() || detail::parse_listen_address(metrics_listen), "metrics_listen",
              '"' + metrics_listen + '"', std::string(detail::listen_addresses()));
    c.require(slow_call_threshold == 0ms || (slow_call_threshold >= 1ms && slow_call_threshold <= 24h),
              "slow_call_threshold", fmt::format("{} ms", slow_call_threshold.count()), "0 ms, or 1 ms to 86400000 ms");
    if (telemetry.sample_ratio) c.range("telemetry.sample_ratio", *telemetry.sample_ratio, 0.0, 1.0);
    c.range<std::size_t>("telemetry.max_queued_spans", telemetry.max_queued_spans, 1, 1'000'000);
    if (telemetry.metrics_interval != 0ms) c.time("telemetry.metrics_interval", telemetry.metrics_interval, 100ms, 24h);
    for (const auto& [name, text] : environment)
        c.require(!name.empty() && name.find('=') == name.npos && name.find('\0') == name.npos &&
                      text.find('\0') == text.npos,
                  "environment", '"' + name + '"', "names without '=', names and values without NUL bytes");
    for (const auto& p : python_path) c.require(!p.empty(), "python_path", "\"\"", "directories");
    return std::move(c.found);
}

}  // namespace snakepit
