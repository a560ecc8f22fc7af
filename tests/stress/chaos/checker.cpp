#include "stress/chaos/checker.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <map>
#include <optional>
#include <string>

namespace snakepit::chaos {
namespace {

using milliseconds = std::chrono::duration<double, std::milli>;

/// By when the caller was to hear, if it listened; nothing: whenever.
std::optional<clock::time_point> due(const call_record& c) {
    std::optional<clock::time_point> at;
    if (c.timeout != clock::duration::zero()) at = c.begun + c.timeout;
    if (c.cancelled_at) at = at ? std::min(*at, *c.cancelled_at) : *c.cancelled_at;
    if (at) at = std::max(*at, c.listens_since);
    return at;
}

class inquiry {
public:
    inquiry(const history& of, const rules& by) : of_(of), by_(by) {}

    std::vector<violation> all() {
        for (const auto& c : of_.calls) look_at(c);
        compare_counts();
        return std::move(found_);
    }

private:
    template <class... Args>
    void blame(fault what, const call_record& c, fmt::format_string<Args...> how, Args&&... args) {
        found_.push_back({what, c.id, fmt::format("{}: {}", c.tool, fmt::format(how, std::forward<Args>(args)...))});
    }

    void look_at(const call_record& c) {
        const auto run = of_.runs.find(c.id);
        const auto seen = run == of_.runs.end() ? marks() : run->second;
        if (seen.begun > 1 && !c.may_run_again) blame(fault::ran_twice, c, "its tool began {} times", seen.begun);
        if (c.is_dropped && c.ends == 0) return;
        if (c.ends == 0) return blame(fault::never_ended, c, "no outcome");
        if (c.ends > 1) blame(fault::ended_twice, c, "{} outcomes", c.ends);
        look_at_time(c);
        look_at_outcome(c, seen);
    }

    void look_at_time(const call_record& c) {
        const auto at = due(c);
        if (at && c.ended > *at + by_.grace)
            blame(fault::overstayed, c, "heard {:.0f} ms late", milliseconds(c.ended - *at).count());
        if (c.code == make_error_code(errc::deadline_exceeded) && c.ended < c.begun + c.timeout)
            blame(fault::gave_up_early, c, "{:.3f} ms before its deadline",
                  milliseconds(c.begun + c.timeout - c.ended).count());
    }

    void look_at_outcome(const call_record& c, const marks& seen) {
        if (!c.code) {
            if (!c.value_is_right) blame(fault::wrong_value, c, "the value is not its own");
            if (seen.done == 0) blame(fault::value_without_work, c, "a value, and the tool has not finished it");
        } else if (c.code == make_error_code(errc::deadline_exceeded)) {
            if (c.timeout == clock::duration::zero()) blame(fault::gave_up_early, c, "it has no deadline");
        } else if (c.code == make_error_code(errc::cancelled)) {
            if (!c.cancelled_at) blame(fault::cancelled_unasked, c, "nobody asked");
        } else if (c.code == make_error_code(errc::worker_lost) || c.code == make_error_code(errc::poison_call)) {
            if (c.may_run_again && c.code == make_error_code(errc::worker_lost) && !c.found_no_budget)
                blame(fault::lost_with_permission, c, "{}", c.lost_with);
            if (!c.said.empty()) blame(fault::unexpected_error, c, "{}", c.said);
            if (seen.done > 0 && c.has_large_reply) return;
            if (!is_among_executed(c)) blame(fault::lost_with_another, c, "{}", c.lost_with);
        } else if (!c.said.empty()) {
            blame(fault::unexpected_error, c, "{}", c.said);
        }
    }

    /// A worker executes so many calls at a time, or one batch: its end costs no more.
    bool is_among_executed(const call_record& c) {
        auto& all = costs_[c.lost_with];
        ++all.calls;
        all.is_batch = all.is_batch && c.is_in_batch;
        return all.calls <= (all.is_batch ? std::max(by_.at_once, by_.max_batch) : by_.at_once);
    }

    /// Of the calls that were dropped the pool knows how they ended. It does not let in what is too late by then.
    void compare_counts() {
        tally own;
        std::uint64_t dropped = 0;
        std::uint64_t late = 0;
        for (const auto& c : of_.calls) {
            ++own.submitted;
            if (c.is_dropped) ++dropped;
            if (c.timeout != clock::duration::zero() && c.given >= c.begun + c.timeout) ++late;
            if (c.ends == 0) continue;
            if (!c.code) ++own.succeeded;
            else if (c.code == make_error_code(errc::cancelled)) ++own.cancelled;
            else if (c.code == make_error_code(errc::deadline_exceeded)) ++own.expired;
            else ++own.failed;
        }
        const auto& pool = of_.pool;
        compare("submitted", own.submitted, pool.submitted, late, 0);
        compare("succeeded", own.succeeded, pool.succeeded, 0, dropped);
        compare("failed", own.failed, pool.failed, 0, dropped);
        compare("cancelled", own.cancelled, pool.cancelled, 0, dropped);
        compare("expired", own.expired, pool.expired, late, dropped);
        compare("ended", own.ended() + dropped, pool.ended(), late, 0);
    }

    void compare(std::string_view what, std::uint64_t callers, std::uint64_t pool, std::uint64_t fewer,
                 std::uint64_t more) {
        if (pool + fewer < callers || pool > callers + more)
            found_.push_back(
                {fault::miscounted, 0, fmt::format("{}: {} by the callers, {} by the pool", what, callers, pool)});
    }

    struct cost {
        std::size_t calls = 0;
        bool is_batch = true;
    };

    const history& of_;
    const rules& by_;
    std::map<std::string, cost> costs_;  // of each end of a worker
    std::vector<violation> found_;
};

}  // namespace

std::vector<violation> check(const history& of, const rules& by) { return inquiry(of, by).all(); }

clock::duration worst_delay(const history& of) {
    auto worst = clock::duration::min();
    for (const auto& c : of.calls)
        if (const auto at = due(c); at && c.ends > 0) worst = std::max(worst, c.ended - *at);
    return worst;
}

}  // namespace snakepit::chaos
