#include "stress/chaos/session_checker.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <iterator>
#include <map>

namespace snakepit::chaos {
namespace {

using calls_of_session = std::vector<const session_call*>;  // by when they began

bool has_run_elsewhere(const session_call& x, const session_call& than) {
    return !x.process.empty() && x.process != than.process;
}

class inquiry {
public:
    explicit inquiry(const session_history& of) {
        for (const auto& c : of.calls) {
            if (!c.process.empty()) {
                auto& last = last_given_[c.process];
                last = std::max(last, c.begun);
            }
            if (c.affinity != affinity::none) sessions_[c.key].push_back(&c);
        }
    }

    std::vector<violation> all() {
        for (auto& [key, calls] : sessions_) {
            std::sort(calls.begin(), calls.end(), [](const auto* a, const auto* b) { return a->begun < b->begun; });
            for (const auto* c : calls)
                if (!c->process.empty()) look_at(*c, calls);
        }
        return std::move(found_);
    }

private:
    template <class... Args>
    void blame(fault what, const session_call& c, fmt::format_string<Args...> how, Args&&... args) {
        found_.push_back(
            {what, c.id,
             fmt::format("{} by process {}: {}", c.key, c.process, fmt::format(how, std::forward<Args>(args)...))});
    }

    void look_at(const session_call& c, const calls_of_session& calls) {
        if (!c.moved) {
            if (const auto* const before = last_elsewhere(c, calls); before && !came_here_after(*before, c, calls))
                blame(fault::moved_unsaid, c, "call {} was served by {}", before->id, before->process);
            return;
        }
        if (!was_elsewhere(c, calls)) blame(fault::moved_for_nothing, c, "no other has served it since");
        if (c.affinity == affinity::strict) look_at_old_worker(c, calls);
    }

    /// The last call that another process served for certain before this one was made.
    static const session_call* last_elsewhere(const session_call& c, const calls_of_session& calls) {
        for (auto x = upto(c.begun, calls); x != calls.begin();)
            if (has_run_elsewhere(**--x, c) && (*x)->ran < c.begun) return *x;
        return nullptr;
    }

    /// Whether a third call, which came between the two, may have brought the session here.
    static bool came_here_after(const session_call& before, const session_call& c, const calls_of_session& calls) {
        return is_any(calls, c, c.ran, [&](const session_call& x) {
            const bool may_be_here = x.process.empty() ? x.has_run || x.may_have_run : x.process == c.process;
            return may_be_here && x.ended > before.begun;
        });
    }

    /// Whether a call may have been sent to another process after the last that was surely served here before. One with
    /// a hint may have been given up there long before its worker says that it was not run.
    static bool was_elsewhere(const session_call& c, const calls_of_session& calls) {
        if (is_any(calls, c, c.ran, [](const session_call& x) { return x.affinity == affinity::hint && !x.has_run; }))
            return true;
        clock::time_point last_here{};
        for (auto x = upto(c.begun, calls); x != calls.begin() && last_here == clock::time_point();)
            if ((*--x)->process == c.process && (*x)->ran < c.begun) last_here = (*x)->begun;
        return is_any(calls, c, c.ran,
                      [&](const session_call& x) { return x.process != c.process && x.ended > last_here; });
    }

    /// A strict call leaves its session's worker only when that gets no more calls; unless a hint went elsewhere.
    void look_at_old_worker(const session_call& c, const calls_of_session& calls) {
        const auto* const before = last_elsewhere(c, calls);
        if (!before) return;
        const bool was_hinted = is_any(calls, c, c.ran, [&](const session_call& x) {
            return x.affinity == affinity::hint && x.ended > before->begun;
        });
        if (!was_hinted && last_given_[before->process] > c.ran)
            blame(fault::left_its_worker, c, "{} was given a call later", before->process);
    }

    static calls_of_session::const_iterator upto(clock::time_point when, const calls_of_session& calls) {
        const auto is_before = [](const session_call* a, clock::time_point b) { return a->begun < b; };
        return std::lower_bound(calls.begin(), calls.end(), when, is_before);
    }

    /// Whether it holds for any other call that was made before a time. The last ones, which explain most, come first.
    template <class Predicate>
    static bool is_any(const calls_of_session& calls, const session_call& but, clock::time_point before,
                       Predicate holds) {
        return std::any_of(std::make_reverse_iterator(upto(before, calls)), calls.rend(),
                           [&](const session_call* x) { return x != &but && holds(*x); });
    }

    std::map<std::string, calls_of_session> sessions_;
    std::map<std::string, clock::time_point> last_given_;  // by process: a call that it served was made
    std::vector<violation> found_;
};

}  // namespace

std::vector<violation> check_affinity(const session_history& of) { return inquiry(of).all(); }

}  // namespace snakepit::chaos
