#pragma once
// What a call has done to its session, by what its tool reports and by what it was to do.

#include "stress/chaos/history.hpp"
#include "stress/chaos/session_script.hpp"

#include <snakepit/value.hpp>

namespace snakepit::chaos {

/// Of a call that has ended with a value.
/// @throws value::exception  when the report has another form
void add_report(const session_script& of, const call_record& call, const value& report, session_log& to);

/// Of a call that has ended without: all of it may have been done, or none.
void add_unknown(const session_script& of, const call_record& call, session_log& to);

}  // namespace snakepit::chaos
