#pragma once
// A part of a trace, as OpenTelemetry has it: https://opentelemetry.io/docs/specs/otel/trace/api/

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace snakepit::detail {

using attribute = std::variant<std::string, std::int64_t, double, bool>;

/// Ids are lower-case hex, 32 digits for a trace and 16 for a span.
struct span {
    enum class kind : std::uint8_t { internal = 1, server = 2, client = 3 };
    enum class status : std::uint8_t { unset = 0, ok = 1, error = 2 };
    struct link {
        std::string trace_id;
        std::string span_id;
        std::string tracestate;
    };
    struct log {
        std::chrono::system_clock::time_point at;
        std::string name;
        std::vector<std::pair<std::string, attribute>> attributes;
    };

    std::string trace_id;
    std::string id;
    std::string parent_id;  ///< empty: it has none
    std::string tracestate;
    std::string name;
    kind what = kind::internal;
    std::chrono::system_clock::time_point begin;
    std::chrono::system_clock::time_point end;
    std::vector<std::pair<std::string, attribute>> attributes;
    std::vector<link> links;
    std::vector<log> events;
    status outcome = status::unset;
    std::string message;                                     ///< with status::error
    std::vector<std::pair<std::string, attribute>> process;  ///< of the worker that made it; empty: the host
};

/** Takes finished spans.

    @par Thread safety  any thread; never waits */
class span_sink {
public:
    virtual ~span_sink() = default;
    virtual void take(span s) = 0;
    /// There were more, of which nothing is left. @param spans  0: there were none
    virtual void lost(std::uint64_t spans, const std::string& why) = 0;
};

}  // namespace snakepit::detail
