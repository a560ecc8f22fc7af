#include "stress/chaos/summary.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace snakepit::chaos {
namespace {

using kind = session_op::kind;
using outcome = session_op::outcome;

std::string calls_of(const findings& f) {
    std::map<std::string, int> outcomes;
    for (const auto& c : f.seen.calls) ++outcomes[c.ends == 0 ? "none" : c.code ? c.code.message() : "a value"];
    auto text = fmt::format("{} calls:\n", f.seen.calls.size());
    for (const auto& [what, times] : outcomes) text += fmt::format("  {:8} {}\n", times, what);
    return text;
}

/// How often, of those that hold.
template <class All, class Predicate>
std::ptrdiff_t times(const All& all, Predicate holds) {
    return std::count_if(all.begin(), all.end(), holds);
}

std::string variables_of(const session_history& h) {
    const auto done = [&](kind what) {
        return times(h.ops, [what](const session_op& op) { return op.what == what && op.how == outcome::done; });
    };
    const auto ended_so = [&](outcome how) {
        return times(h.ops, [how](const session_op& op) { return op.how == how; });
    };
    const auto by_tools = times(h.ops, [](const session_op& op) { return op.call != 0; });
    std::set<std::uint64_t> sessions;
    for (const auto& op : h.ops)
        if (op.session != 0) sessions.insert(op.session);
    return fmt::format(
        "{} sessions, {} operations by tools and {} by the host: {} reads, {} writes ({} increments), {} erasures, {} "
        "times closed, {} times to expire\n"
        "  {} conflicts, {} times too late, {} of unknown outcome\n",
        sessions.size(), by_tools, static_cast<std::ptrdiff_t>(h.ops.size()) - by_tools, done(kind::read),
        done(kind::write),
        times(h.ops,
              [](const session_op& op) {
                  return op.what == kind::write && op.how == outcome::done && op.variable == counter;
              }),
        done(kind::erase), done(kind::close), done(kind::expire), ended_so(outcome::refused), ended_so(outcome::closed),
        ended_so(outcome::unknown));
}

std::string affinity_of(const session_history& h) {
    const auto with = [&](affinity how) {
        return times(h.calls, [how](const session_call& c) { return c.affinity == how; });
    };
    return fmt::format("  {} calls without affinity, {} with a hint, {} strict ones; {} have moved\n",
                       with(affinity::none), with(affinity::hint), with(affinity::strict),
                       times(h.calls, [](const session_call& c) { return c.moved; }));
}

std::string streams_of(const findings& f) {
    const auto ended = [&](stream_end how) {
        return times(f.streams, [how](const stream_record& s) { return s.end == how; });
    };
    std::size_t items = 0;
    std::uint64_t sent = 0;
    for (const auto& s : f.streams) {
        items += s.items.size();
        sent += s.sent;
    }
    std::size_t results = 0;
    for (const auto& m : f.maps) results += m.came.size();
    return fmt::format(
        "{} streams, {} items came and {} were sent; {} to their end, {} raised, {} dropped\n"
        "{} maps, {} to their end, {} results\n",
        f.streams.size(), items, sent, ended(stream_end::value), ended(stream_end::raised), ended(stream_end::dropped),
        f.maps.size(), times(f.maps, [](const map_record& m) { return m.has_ended; }), results);
}

std::string work_of(const findings& f) {
    const auto runs = times(f.seen.work, [](const journal_line& l) { return l.what == journal_line::kind::begun; });
    const auto batches = times(
        f.seen.work, [](const journal_line& l) { return l.what == journal_line::kind::begun && l.calls.size() > 1; });
    return fmt::format(
        "{} runs of tools, {} of them for several calls; {} calls taken back, {} moved, {} recovered, {} retried\n",
        runs, batches, f.told.recalled, f.told.moved, f.told.recovered, f.told.retried);
}

}  // namespace

std::string summary_of(const findings& f) {
    auto text = calls_of(f) + work_of(f) + streams_of(f) + variables_of(f.sessions) + affinity_of(f.sessions) +
                "done to the workers:";
    for (const auto& [what, times] : f.done) text += fmt::format(" {} {},", to_string(what), times);
    return text + fmt::format("\nlatest answer: {:.1f} ms after its deadline or cancellation\n",
                              std::chrono::duration<double, std::milli>(worst_delay(f.seen)).count());
}

}  // namespace snakepit::chaos
