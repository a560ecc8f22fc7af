#pragma once
// The trace that a call belongs to, as W3C Trace Context has it: https://www.w3.org/TR/trace-context/

#include <snakepit/trace_ids.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace snakepit::detail {

/// A span and what it is part of.
struct span_ids {
    snakepit::trace_id trace_id;
    span_id id;            ///< none: the call is no span here
    span_id parent_id;     ///< none: it begins the trace
    bool sampled = false;  ///< as the flag of its header
};

/// What a call carries of its trace.
struct trace_context {
    span_ids ids;
    std::string received;    ///< the header traceparent that is passed on as it came; empty: `ids` are told
    std::string tracestate;  ///< empty: none

    /// Whoever carries it is to make spans.
    [[nodiscard]] bool is_recorded() const noexcept { return ids.id && ids.sampled; }
    /// Bytes of both headers.
    [[nodiscard]] std::size_t size() const noexcept;
    /// The header traceparent for what is below. @param to  is replaced
    void put_traceparent(std::string& to) const;
    [[nodiscard]] std::string traceparent() const;
};

/// @param digits  twice as many lower-case hex digits as the id has bytes
template <class Id>
[[nodiscard]] Id id_from(std::string_view digits) noexcept;
/// So many lower-case hex digits, not all of them 0.
[[nodiscard]] bool is_span_id(std::string_view text, std::size_t digits) noexcept;

/// Whether a header says which trace and span it means. Of a version that is not known yet only the fields of version
/// 00 are looked at, as the standard has it; it has at most 128 bytes here.
[[nodiscard]] bool is_traceparent(std::string_view header) noexcept;

/// Of what is below the span that a header names which is_traceparent(): it has no id yet.
[[nodiscard]] span_ids ids_below(std::string_view traceparent);

/// What is to be carried of the two headers; null: nothing. A tracestate that is too long or no printable ASCII is left
/// out.
[[nodiscard]] std::shared_ptr<const trace_context> accept_trace(const std::string& traceparent,
                                                                const std::string& tracestate);

}  // namespace snakepit::detail
