#include "telemetry/trace_context.hpp"

#include <algorithm>

namespace snakepit::detail {
namespace {

constexpr std::size_t longest_traceparent = 128;
constexpr std::size_t longest_tracestate = 512;

bool is_hex(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_zero(std::string_view text) noexcept { return text.find_first_not_of('0') == std::string_view::npos; }

bool is_printable(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

std::uint8_t value_of(char digit) noexcept {
    return static_cast<std::uint8_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/// Calls wait for it: as others do it, it takes ten times as long.
template <std::size_t Bytes>
void put(const binary_id<Bytes>& id, char* at) noexcept {
    constexpr const char* digits = "0123456789abcdef";
    for (const auto byte : id.bytes) {
        *at++ = digits[byte >> 4];
        *at++ = digits[byte & 15];
    }
}

template <std::size_t Bytes>
std::string digits_of(const binary_id<Bytes>& id) {
    if (!id) return {};
    std::string text(2 * Bytes, '0');
    put(id, text.data());
    return text;
}

}  // namespace

template <class Id>
Id id_from(std::string_view digits) noexcept {
    Id id;
    for (std::size_t i = 0; i < id.bytes.size(); ++i)
        id.bytes[i] = static_cast<std::uint8_t>(value_of(digits[2 * i]) << 4 | value_of(digits[2 * i + 1]));
    return id;
}
template id_of_trace id_from(std::string_view) noexcept;
template id_of_span id_from(std::string_view) noexcept;

std::string hex(const id_of_trace& id) { return digits_of(id); }
std::string hex(const id_of_span& id) { return digits_of(id); }

std::string traceparent_of(const id_of_trace& trace, const id_of_span& id, bool sampled) {
    std::string header = "00-00000000000000000000000000000000-0000000000000000-00";
    put(trace, header.data() + 3);
    put(id, header.data() + 36);
    if (sampled) header.back() = '1';
    return header;
}

bool is_span_id(std::string_view text, std::size_t digits) noexcept {
    return text.size() == digits && is_hex(text) && !is_zero(text);
}

bool is_traceparent(std::string_view header) noexcept {
    // version-trace-parent-flags: 2, 32, 16 and 2 digits
    constexpr std::size_t size = 55;
    if (header.size() < size || header.size() > longest_traceparent || !is_printable(header)) return false;
    if (header[2] != '-' || header[35] != '-' || header[52] != '-') return false;
    const auto version = header.substr(0, 2);
    const auto trace = header.substr(3, 32);
    const auto parent = header.substr(36, 16);
    if (!is_hex(version) || !is_hex(trace) || !is_hex(parent) || !is_hex(header.substr(53, 2))) return false;
    if (version == "ff" || is_zero(trace) || is_zero(parent)) return false;
    return header.size() == size || (version != "00" && header[size] == '-');
}

span_ids ids_of(std::string_view traceparent) {
    span_ids ids;
    ids.trace_id = id_from<id_of_trace>(traceparent.substr(3));
    ids.id = id_from<id_of_span>(traceparent.substr(36));
    ids.sampled = std::string_view("13579bdf").find(traceparent[54]) != std::string_view::npos;  // the lowest bit
    return ids;
}

std::shared_ptr<const trace_context> accept_trace(const std::string& traceparent, const std::string& tracestate) {
    if (!is_traceparent(traceparent)) return nullptr;
    auto accepted = std::make_shared<trace_context>();
    accepted->traceparent = traceparent;
    if (tracestate.size() <= longest_tracestate && is_printable(tracestate)) accepted->tracestate = tracestate;
    return accepted;
}

}  // namespace snakepit::detail
