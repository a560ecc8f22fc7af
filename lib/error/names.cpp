#include "error/names.hpp"

#include <snakepit/error.hpp>

namespace snakepit::detail {

std::string_view name_of(const std::error_code& code) {
    if (code.category() != error_category()) return "unknown";
    switch (static_cast<errc>(code.value())) {
        case errc::queue_full: return "queue_full";
        case errc::deadline_exceeded: return "deadline_exceeded";
        case errc::cancelled: return "cancelled";
        case errc::worker_lost: return "worker_lost";
        case errc::pool_stopped: return "pool_stopped";
        case errc::not_started: return "not_started";
        case errc::already_started: return "already_started";
        case errc::pool_degraded: return "pool_degraded";
        case errc::poison_call: return "poison_call";
        case errc::tool_degraded: return "tool_degraded";
        case errc::pool_draining: return "pool_draining";
        case errc::listen_failed: return "listen_failed";
        case errc::forked: return "forked";
        case errc::unknown_tool: return "unknown_tool";
        case errc::bad_arguments: return "bad_arguments";
        case errc::tool_raised: return "tool_raised";
        case errc::unserializable: return "unserializable";
        case errc::message_too_large: return "message_too_large";
        case errc::type_mismatch: return "type_mismatch";
        case errc::invalid_options: return "invalid_options";
        case errc::python_unfit: return "python_unfit";
        case errc::module_failed: return "module_failed";
        case errc::start_timeout: return "start_timeout";
        case errc::launch_failed: return "launch_failed";
        case errc::socket_directory: return "socket_directory";
        case errc::protocol_mismatch: return "protocol_mismatch";
        case errc::protocol_violation: return "protocol_violation";
        case errc::session_closed: return "session_closed";
        case errc::version_conflict: return "version_conflict";
        case errc::invalid_name: return "invalid_name";
        case errc::too_many_sessions: return "too_many_sessions";
        case errc::too_many_variables: return "too_many_variables";
        case errc::value_too_large: return "value_too_large";
        case errc::session_too_large: return "session_too_large";
        case errc::host_tool_failed: return "host_tool_failed";
        case errc::would_deadlock: return "would_deadlock";
        case errc::stream_ended: return "stream_ended";
        case errc::session_busy: return "session_busy";
        case errc::session_moved: return "session_moved";
        case errc::backend_failed: return "backend_failed";
    }
    return "unknown";
}

}  // namespace snakepit::detail
