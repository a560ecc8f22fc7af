#pragma once
// Which trace a call belongs to, and the spans that it becomes.

#include "pool/call.hpp"
#include "telemetry/event_bus.hpp"
#include "telemetry/redactor.hpp"
#include "telemetry/span.hpp"
#include "telemetry/trace_context.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace snakepit::detail {

/// Which traces are recorded: https://opentelemetry.io/docs/specs/otel/trace/sdk/#built-in-samplers
struct sampling {
    double ratio = 1;          ///< of traces that begin here, by their ids
    bool parent_based = true;  ///< of others the caller's flag counts, else the ratio too
};

/** Gives each call a span, and makes spans of the calls that have ended.

    @par Thread safety  every member from any thread */
class tracer final : call_listener {
public:
    /// @param redact_with  what errors say
    /// @param to           gets the spans of what is recorded
    tracer(sampling how, event_bus& events, std::shared_ptr<const redactor> redact_with, std::shared_ptr<span_sink> to);

    /// The call becomes a span: of the trace that it names, or of a new one.
    void begin(call& c) const;

private:
    [[nodiscard]] bool samples(const trace_id& trace) const;
    void ended(const happened::call_ended& e) override;

    const sampling how_;
    const std::shared_ptr<const redactor> redactor_;
    const std::shared_ptr<span_sink> to_;
    const std::shared_ptr<void> listening_;  // the last one: it refers to what is above
};

}  // namespace snakepit::detail
