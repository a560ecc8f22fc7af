#pragma once
// A part of a trace, as OpenTelemetry has it: https://opentelemetry.io/docs/specs/otel/trace/api/

#include <snakepit/trace_ids.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace snakepit::detail {

using attribute = std::variant<std::string, std::int64_t, double, bool>;
/// Of a process, say.
using resource_attributes = std::vector<std::pair<std::string, attribute>>;

struct span {
    enum class kind : std::uint8_t { internal = 1, server = 2, client = 3 };
    enum class status : std::uint8_t { unset = 0, ok = 1, error = 2 };
    struct link {
        snakepit::trace_id trace_id;
        snakepit::span_id span_id;
        std::string tracestate;
    };

    snakepit::trace_id trace_id;
    span_id id;
    span_id parent_id;  ///< none: it has none
    std::string tracestate;
    std::string name;
    kind what = kind::internal;
    std::chrono::system_clock::time_point begin;
    std::chrono::system_clock::time_point end;
    std::vector<std::pair<std::string_view, attribute>> attributes;  ///< their names are literals
    std::vector<link> links;
    status outcome = status::unset;
    std::string message;                                 ///< with status::error
    std::shared_ptr<const resource_attributes> process;  ///< of the worker that made it; null: the host
};

/** Takes finished spans.

    @par Thread safety  any thread; never waits */
class span_sink {
public:
    virtual ~span_sink() = default;
    /// Called while the bus tells its listeners: must not call the bus.
    virtual void take(const span& s) = 0;
    /// There were more, of which nothing is left. @param spans  0: there were none
    virtual void lost(std::uint64_t spans, const std::string& why) = 0;
};

}  // namespace snakepit::detail
