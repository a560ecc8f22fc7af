#include "telemetry/trace_context.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace snakepit::detail {
namespace {

constexpr std::string_view form = "00-00000000000000000000000000000000-0000000000000000-00";  // of version 00
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

/// The two digits of each byte: calls wait for them.
constexpr auto pairs = [] {
    constexpr std::string_view digits = "0123456789abcdef";
    std::array<std::array<char, 2>, 256> all{};
    for (std::size_t n = 0; n < all.size(); ++n) all[n] = {digits[n >> 4], digits[n & 15]};
    return all;
}();

template <std::size_t Bytes>
void put(const binary_id<Bytes>& id, char* at) noexcept {
    for (const auto byte : id.bytes) {
        std::memcpy(at, pairs[byte].data(), 2);
        at += 2;
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
template trace_id id_from(std::string_view) noexcept;
template span_id id_from(std::string_view) noexcept;

std::size_t trace_context::size() const noexcept {
    return (received.empty() ? form.size() : received.size()) + tracestate.size();
}

void trace_context::put_traceparent(std::string& to) const {
    if (!received.empty()) {
        to = received;
        return;
    }
    to = form;
    put(ids.trace_id, to.data() + 3);
    put(ids.id, to.data() + 36);
    if (ids.sampled) to.back() = '1';
}

std::string trace_context::traceparent() const {
    std::string header;
    put_traceparent(header);
    return header;
}

bool is_span_id(std::string_view text, std::size_t digits) noexcept {
    return text.size() == digits && is_hex(text) && !is_zero(text);
}

bool is_traceparent(std::string_view header) noexcept {
    constexpr auto size = form.size();
    if (header.size() < size || header.size() > longest_traceparent || !is_printable(header)) return false;
    if (header[2] != '-' || header[35] != '-' || header[52] != '-') return false;
    const auto version = header.substr(0, 2);
    const auto trace = header.substr(3, 32);
    const auto parent = header.substr(36, 16);
    if (!is_hex(version) || !is_hex(trace) || !is_hex(parent) || !is_hex(header.substr(53, 2))) return false;
    if (version == "ff" || is_zero(trace) || is_zero(parent)) return false;
    return header.size() == size || (version != "00" && header[size] == '-');
}

span_ids ids_below(std::string_view traceparent) {
    span_ids ids;
    ids.trace_id = id_from<trace_id>(traceparent.substr(3));
    ids.parent_id = id_from<span_id>(traceparent.substr(36));
    ids.sampled = std::string_view("13579bdf").find(traceparent[54]) != std::string_view::npos;  // the lowest bit
    return ids;
}

std::shared_ptr<const trace_context> accept_trace(const std::string& traceparent, const std::string& tracestate) {
    if (!is_traceparent(traceparent)) return nullptr;
    auto accepted = std::make_shared<trace_context>();
    accepted->ids = ids_below(traceparent);
    accepted->received = traceparent;
    if (tracestate.size() <= longest_tracestate && is_printable(tracestate)) accepted->tracestate = tracestate;
    return accepted;
}

}  // namespace snakepit::detail

namespace snakepit {

std::string to_string(const trace_id& id) { return detail::digits_of(id); }
std::string to_string(const span_id& id) { return detail::digits_of(id); }

}  // namespace snakepit
