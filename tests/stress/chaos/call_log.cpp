#include "stress/chaos/call_log.hpp"

namespace snakepit::chaos {
namespace {

/// A write that was not waited for came too late.
bool says_that_it_ended(const error& e) {
    const auto* const raised = e.python();
    return e == errc::session_closed || (raised && raised->type.ends_with("SessionClosed"));
}

}  // namespace

call_record& call_log::add(std::string_view tool, clock::duration timeout) {
    auto& c = calls_.emplace_back();
    c.id = calls_.size();
    c.tool = tool;
    c.timeout = timeout;
    c.begun = c.given = c.listens_since = clock::now();
    ++open_;
    return c;
}

/// @return  whether it is the first time
bool call_log::end(call_record& c) {
    if (++c.ends > 1) return false;
    --open_;
    c.ended = clock::now();
    return true;
}

void call_log::has_value(call_record& c, bool is_right) {
    if (end(c)) c.value_is_right = is_right;
}

void call_log::has_failed(call_record& c, const error& why) {
    if (!end(c)) return;
    c.code = why.code();
    if (why == errc::worker_lost || why == errc::poison_call) c.lost_with = process_of(why);
    c.found_no_budget = why.message().find("the retry budget is spent") != why.message().npos;
    if (!is_explained(c, why)) c.said = why.summary();
}

void call_log::drop(call_record& c) {
    c.is_dropped = true;
    --open_;
}

bool call_log::is_explained(const call_record& c, const error& e) const {
    for (const auto known : {errc::worker_lost, errc::cancelled, errc::deadline_exceeded})
        if (e == known) return true;
    if (c.session_may_end && says_that_it_ended(e)) return true;
    return (e == errc::tool_raised && c.may_raise) || (e == errc::poison_call && c.may_run_again) ||
           (e == errc::pool_stopped && pool_stops_);
}

}  // namespace snakepit::chaos
