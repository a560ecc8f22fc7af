#pragma once
// The trace that a call belongs to, as W3C Trace Context has it: https://www.w3.org/TR/trace-context/

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace snakepit::detail {

struct trace_context {
    std::string traceparent;
    std::string tracestate;  ///< empty: none
    bool recorded = false;   ///< whoever carries it is to make spans

    [[nodiscard]] std::size_t size() const noexcept { return traceparent.size() + tracestate.size(); }
};

/// Ids of a span and of what it is part of, in lower-case hex. All empty: none.
struct span_ids {
    std::string trace_id;   ///< 32 digits
    std::string id;         ///< 16 digits
    std::string parent_id;  ///< 16 digits; empty: it begins the trace
    bool sampled = false;   ///< it is to be recorded
};

/// So many lower-case hex digits, not all of them 0.
[[nodiscard]] bool is_span_id(std::string_view text, std::size_t digits) noexcept;

/// Whether a header says which trace and span it means. Of a version that is not known yet only the fields of version
/// 00 are looked at, as the standard has it; it has at most 128 bytes here.
[[nodiscard]] bool is_traceparent(std::string_view header) noexcept;

/// Which trace a header that is_traceparent() means, and as `id` which span; whether that is flagged as sampled.
[[nodiscard]] span_ids ids_of(std::string_view traceparent);

/// What is to be carried of the two headers; null: nothing. A tracestate that is too long or no printable ASCII is left
/// out.
[[nodiscard]] std::shared_ptr<const trace_context> accept_trace(const std::string& traceparent,
                                                                const std::string& tracestate);

}  // namespace snakepit::detail
