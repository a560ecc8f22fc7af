#pragma once
// The trace that a call belongs to, as W3C Trace Context has it: https://www.w3.org/TR/trace-context/

#include <array>
#include <cstddef>
#include <cstdint>
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

/// An id of a trace or a span. All zeros: none.
template <std::size_t Bytes>
struct binary_id {
    std::array<std::uint8_t, Bytes> bytes{};

    explicit operator bool() const noexcept { return *this != binary_id(); }
    bool operator==(const binary_id&) const = default;
};
using id_of_trace = binary_id<16>;
using id_of_span = binary_id<8>;

/// A span and what it is part of.
struct span_ids {
    id_of_trace trace_id;
    id_of_span id;
    id_of_span parent_id;  ///< none: it begins the trace
    bool sampled = false;  ///< it is to be recorded
};

/// @param digits  twice as many lower-case hex digits as the id has bytes
template <class Id>
[[nodiscard]] Id id_from(std::string_view digits) noexcept;
/// Its lower-case hex digits; empty: it is none.
[[nodiscard]] std::string hex(const id_of_trace& id);
[[nodiscard]] std::string hex(const id_of_span& id);

/// Version 00.
/// @param id  of the span above what it is for
[[nodiscard]] std::string traceparent_of(const id_of_trace& trace, const id_of_span& id, bool sampled);

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
