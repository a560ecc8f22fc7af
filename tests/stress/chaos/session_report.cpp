#include "stress/chaos/session_report.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace snakepit::chaos {
namespace {

using kind = session_op::kind;
using outcome = session_op::outcome;

/// time.monotonic_ns() and steady_clock are the same clock.
clock::time_point time_of(const value& nanoseconds) {
    return clock::time_point(std::chrono::nanoseconds(nanoseconds.get<std::int64_t>()));
}

kind kind_of(const std::string& what) {
    if (what == "get" || what == "look") return kind::read;
    if (what == "assign" || what == "set" || what == "compare_and_set") return kind::write;
    if (what == "erase") return kind::erase;
    if (what == "close") return kind::close;
    throw std::runtime_error("a tool reports " + what);
}

outcome outcome_of(const std::string& how) {
    if (how == "conflict") return outcome::refused;
    return how == "closed" ? outcome::closed : outcome::done;
}

session_op common(const session_script& of, const call_record& call, std::uint64_t observer) {
    session_op op;
    op.observer = observer;
    op.call = call.id;
    op.key = of.kind->key;
    return op;
}

session_op op_of(session_op op, const value& row, const call_record& call) {
    const auto what = row.at(0).get<std::string>();
    op.what = kind_of(what);
    op.variable = row.at(1).get<std::string>();
    op.began = time_of(row.at(2));
    op.ended = time_of(row.at(3));
    const auto how = row.at(4).get<std::string>();
    op.how = outcome_of(how);
    if (how == "absent") op.what = kind::read;  // to erase nothing is to see that there is nothing
    if (op.what == kind::write || (op.what == kind::read && !row.at(5).is_null())) {
        op.value = parse(row.at(5).is_string() ? row.at(5).get_ref<const std::string&>() : "");
        if (!op.value && op.what == kind::write) throw std::runtime_error("a tool has written " + row.at(5).dump());
        if (!op.value) op.strange = row.at(5).dump();
    }
    op.version = static_cast<std::uint64_t>(std::max<std::int64_t>(0, row.at(6).get<std::int64_t>()));
    if (const auto expected = row.at(7).get<std::int64_t>(); expected >= 0)
        op.expected = static_cast<std::uint64_t>(expected);
    // A write that is not waited for is acknowledged by the call's success.
    if (what == "assign") op.ended = call.ended;
    return op;
}

/// A session's name was read, or given.
bool names_it(const session_op& op) {
    return op.variable == birth && op.how == outcome::done && op.value &&
           (op.what == kind::read || op.what == kind::write);
}

session_op unknown_write(session_op op, const call_record& call, std::string_view variable, std::uint64_t number) {
    op.what = kind::write;
    op.how = outcome::unknown;
    op.variable = variable;
    op.value = session_value{op.key, op.variable, number};
    op.began = call.begun;
    op.ended = session_op::never;
    return op;
}

}  // namespace

void add_report(const session_script& of, const call_record& call, const value& report, session_log& to) {
    const auto blank = common(of, call, to.next_observer());
    std::vector<session_op> ops;
    for (const auto& row : report.at("rows")) ops.push_back(op_of(blank, row, call));
    std::uint64_t session = 0;
    for (const auto& op : ops)
        if (session == 0 && names_it(op)) session = op.value->number;
    for (auto& op : ops) {
        op.session = session;
        to.seen.ops.push_back(std::move(op));
    }
    // An attempt that has died may have given the name: it has reported nothing.
    if (call.may_run_again) to.seen.ops.push_back(unknown_write(blank, call, birth, of.birth));
}

void add_unknown(const session_script& of, const call_record& call, session_log& to) {
    const auto blank = common(of, call, to.next_observer());
    to.seen.ops.push_back(unknown_write(blank, call, birth, of.birth));
    for (const auto& step : of.steps) {
        if (step.number != 0) {
            to.seen.ops.push_back(unknown_write(blank, call, step.variable, step.number));
        } else if (step.what == "erase" || step.what == "close") {
            auto op = blank;
            op.what = step.what == "erase" ? kind::erase : kind::close;
            op.how = outcome::unknown;
            op.variable = step.variable;
            op.began = call.begun;
            op.ended = session_op::never;
            to.seen.ops.push_back(std::move(op));
        }
    }
}

}  // namespace snakepit::chaos
