#include "stress/chaos/session_checker.hpp"
#include "stress/chaos/timeline.hpp"
#include "stress/chaos/writings.hpp"

#include <fmt/format.h>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace snakepit::chaos {
namespace {

using kind = session_op::kind;
using outcome = session_op::outcome;

/// The variables of sessions that are known, and those of keys whose session is not: these may be any session's.
using place = std::pair<std::uint64_t, std::string>;

class inquiry {
public:
    explicit inquiry(const session_history& of) : of_(of), written_(of) {}

    std::vector<violation> all() {
        for (const auto& op : of_.ops) note(op);
        for (auto& [where, line] : lines_) line.sort();
        for (auto& [where, all] : erased_somewhere_) all.sort();
        for (const auto& op : of_.ops)
            if (op.how == outcome::done && op.session != 0) look_at(op);
        look_at_versions();
        look_at_increments();
        return std::move(found_);
    }

private:
    /// What an observer has seen or written last, as far as it could be told.
    struct view {
        std::uint64_t version = 0;
        clock::time_point began{};    // of the newest change that it knows of
        clock::time_point written{};  // began, of the newest value among these
        std::uint64_t own = 0;        // number of the last value that it has written itself; `erased`: none any more
    };
    static constexpr std::uint64_t erased = ~std::uint64_t{0};

    template <class... Args>
    void blame(fault what, const session_op& op, fmt::format_string<Args...> how, Args&&... args) {
        found_.push_back({what, op.call,
                          fmt::format("{}/{} of session {}, observer {}: {}", op.key, op.variable, op.session,
                                      op.observer, fmt::format(how, std::forward<Args>(args)...))});
    }

    void note(const session_op& op) {
        const bool may_be = op.how == outcome::done || op.how == outcome::unknown;
        if (op.what == kind::erase && may_be) {
            auto& erasures = op.session == 0 ? erased_somewhere_[{op.key, op.variable}]
                                             : lines_[{op.session, op.variable}].erasures_ended;
            erasures.add(op.began, op.ended);
        }
        if (op.how != outcome::done || op.session == 0) return;
        auto& line = lines_[{op.session, op.variable}];
        if (op.what == kind::erase) line.changes_began.add(op.ended, op.began);
        if (op.what != kind::write) return;
        const auto* const w = written_.find(op.value->number);
        line.versions.add(op.ended, w->version);
        line.writes_began.add(op.ended, op.began);
        line.changes_began.add(op.ended, op.began);
    }

    void look_at(const session_op& op) {
        auto& seen = views_[{op.observer, op.variable}];
        if (op.what == kind::read && !op.strange.empty()) {
            blame(fault::never_written, op, "read {}", op.strange);
        } else if (op.what == kind::read && op.value) {
            look_at_read(op, seen);
        } else if (op.what == kind::read) {
            look_at_absence(op, seen);
        } else if (op.what == kind::write) {
            look_at_write(op);
            const auto* const w = written_.find(op.value->number);
            seen.version = std::max(seen.version, w->version);
            seen.began = seen.written = op.began;
            seen.own = op.value->number;
        } else if (op.what == kind::erase) {
            seen = {seen.version, op.began, {}, erased};
        }
    }

    void look_at_read(const session_op& op, view& seen) {
        const auto* const w = written_.find(op.value->number);
        const auto text = to_text(*op.value);
        if (op.value->key != op.key) return blame(fault::mixed_up, op, "read {}", text);
        if (op.value->variable != op.variable || !w || !w->may_be_done() || w->by->began > op.ended)
            return blame(fault::never_written, op, "read {}", text);
        if (w->session != op.session) return blame(fault::mixed_up, op, "read {} of session {}", text, w->session);
        if (op.version != 0 && op.version != w->version)
            return blame(fault::wrong_version, op, "read {} with version {}, not {}", text, op.version, w->version);

        const auto& line = lines_[{op.session, op.variable}];
        const auto newest = line.versions.before(op.began);
        if (w->version != 0 && w->version < newest) {
            blame(fault::stale_read, op, "read {} of version {} after {}", text, w->version, newest);
        } else if (w->settled < line.changes_began.before(op.began)) {
            blame(fault::stale_read, op, "read {}, which had been changed", text);
        } else if ((w->version != 0 && w->version < seen.version) || w->settled < seen.began) {
            blame(fault::went_back, op, "read {} after something newer", text);
        } else if (seen.own != 0 && seen.own != op.value->number && w->by->observer == op.observer) {
            blame(fault::went_back, op, "read {}, which it had itself overwritten or erased", text);
        }
        seen.version = std::max(seen.version, w->version);
        seen.began = std::max(seen.began, w->by->began);
        seen.written = std::max(seen.written, w->by->began);
    }

    /// Somebody erases it after all that is known to have been written began, and not after it was looked for.
    [[nodiscard]] bool may_be_erased(const session_op& op, clock::time_point written) {
        const auto last = std::max(lines_[{op.session, op.variable}].erasures_ended.before(op.ended),
                                   erased_somewhere_[{op.key, op.variable}].before(op.ended));
        return last > written;
    }

    void look_at_absence(const session_op& op, view& seen) {
        const auto written = lines_[{op.session, op.variable}].writes_began.before(op.began);
        if (written != clock::time_point() && !may_be_erased(op, written))
            blame(fault::write_lost, op, "found nothing");
        else if (seen.written != clock::time_point() && !may_be_erased(op, seen.written))
            blame(fault::write_lost, op, "found nothing where it had seen something");
        seen.written = {};
    }

    void look_at_write(const session_op& op) {
        if (!op.expected) return;
        const auto [other, is_first] = taken_.emplace(std::tuple(op.session, op.variable, *op.expected), &op);
        const bool is_free = *op.expected == 0 && (may_be_erased(op, {}) || may_be_erased(*other->second, {}));
        if (!is_first && !is_free)
            return blame(fault::set_over_another, op, "the second to succeed with version {}", *op.expected);
        if (op.version != 0 && op.version <= *op.expected)
            return blame(fault::wrong_version, op, "version {} after {}", op.version, *op.expected);
        if (*op.expected != 0) return;
        const auto written = lines_[{op.session, op.variable}].writes_began.before(op.began);
        if (written != clock::time_point() && !may_be_erased(op, written))
            blame(fault::set_over_another, op, "set as if there was nothing");
    }

    /// Those of a session are given one after the other, whichever variable they are for.
    void look_at_versions() {
        std::map<std::uint64_t, greatest_so_far<std::uint64_t>> settled;
        std::map<std::pair<std::uint64_t, std::uint64_t>, const session_op*> owners;
        std::map<place, std::set<std::uint64_t>> of_variable;
        for (const auto& [number, w] : written_) {
            if (w.session == 0 || w.version == 0) continue;
            settled[w.session].add(w.settled, w.version);
            of_variable[{w.session, w.by->variable}].insert(w.version);
            const auto [owner, is_new] = owners.emplace(std::pair(w.session, w.version), w.by);
            if (!is_new) blame(fault::wrong_version, *w.by, "version {} is that of another write, too", w.version);
        }
        for (auto& [session, all] : settled) all.sort();
        for (const auto& [number, w] : written_) {
            if (w.session == 0 || w.version == 0) continue;
            if (const auto before = settled[w.session].before(w.by->began); before > w.version)
                blame(fault::wrong_version, *w.by, "version {} was given after {}", w.version, before);
            if (!w.is_acknowledged() || w.by->expected.value_or(0) == 0) continue;
            const auto& versions = of_variable[{w.session, w.by->variable}];
            const auto after = versions.upper_bound(*w.by->expected);
            if (after != versions.end() && *after < w.version)
                blame(fault::set_over_another, *w.by, "version {} succeeded {}, but there was another in between",
                      w.version, *w.by->expected);
        }
    }

    struct increments {
        count_so_far acknowledged;
        count_so_far begun;
        void sort() {
            acknowledged.sort();
            begun.sort();
        }
    };

    /// A counter counts the increments that were acknowledged, and perhaps others that have begun.
    void look_at_increments() {
        std::map<std::uint64_t, increments> of_session;
        std::map<std::string, increments> somewhere;  // by key
        std::set<std::pair<std::uint64_t, std::uint64_t>> counts;
        for (const auto& [number, w] : written_) {
            if (w.by->variable != counter || !w.may_be_done()) continue;
            auto& all = w.session == 0 ? somewhere[w.by->key] : of_session[w.session];
            all.begun.add(w.by->began);
            if (!w.is_acknowledged()) continue;
            all.acknowledged.add(w.by->ended);
            if (!counts.emplace(w.session, w.by->value->count).second)
                blame(fault::count_is_wrong, *w.by, "the second to make it {}", w.by->value->count);
        }
        for (auto& [session, all] : of_session) all.sort();
        for (auto& [key, all] : somewhere) all.sort();
        for (const auto& op : of_.ops) {
            const bool is_count = op.what == kind::read && op.how == outcome::done && op.variable == counter;
            if (!is_count || op.session == 0 || !op.strange.empty()) continue;
            const auto count = op.value ? op.value->count : 0;
            const auto least = of_session[op.session].acknowledged.before(op.began);
            const auto most = of_session[op.session].begun.before(op.ended) + somewhere[op.key].begun.before(op.ended);
            if (count < least || count > most)
                blame(fault::count_is_wrong, op, "it is {}, not between {} and {}", count, least, most);
        }
    }

    const session_history& of_;
    const writings written_;
    std::map<place, timeline> lines_;
    std::map<std::pair<std::string, std::string>, greatest_so_far<clock::time_point>> erased_somewhere_;  // by key
    std::map<place, view> views_;                                                                         // by observer
    std::map<std::tuple<std::uint64_t, std::string, std::uint64_t>, const session_op*> taken_;            // versions
    std::vector<violation> found_;
};

}  // namespace

std::vector<violation> check_variables(const session_history& of) { return inquiry(of).all(); }

}  // namespace snakepit::chaos
