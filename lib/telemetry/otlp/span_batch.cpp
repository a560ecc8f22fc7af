#include "telemetry/otlp/span_batch.hpp"

#include "telemetry/otlp/encode.hpp"
#include "telemetry/otlp/wire_writer.hpp"
#include "value/utf8.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace snakepit::detail {
namespace {

constexpr std::uint32_t sampled_flag = 1;

template <std::size_t Bytes>
std::string_view bytes_of(const binary_id<Bytes>& id) {
    return id ? std::string_view(reinterpret_cast<const char*>(id.bytes.data()), Bytes) : std::string_view();
}

class span_writer {
public:
    explicit span_writer(std::string& to) : out_(to) {}

    void put(const span& s) {
        using field = otlp::Span;
        out_.bytes(field::kTraceIdFieldNumber, bytes_of(s.trace_id));
        out_.bytes(field::kSpanIdFieldNumber, bytes_of(s.id));
        out_.bytes(field::kTraceStateFieldNumber, s.tracestate);
        out_.bytes(field::kParentSpanIdFieldNumber, bytes_of(s.parent_id));
        text(field::kNameFieldNumber, s.name);
        out_.varint(field::kKindFieldNumber, static_cast<std::uint64_t>(s.what));
        out_.fixed64(field::kStartTimeUnixNanoFieldNumber, nanoseconds(s.begin));
        out_.fixed64(field::kEndTimeUnixNanoFieldNumber, nanoseconds(std::max(s.begin, s.end)));
        for (const auto& [key, value] : s.attributes)
            out_.message(field::kAttributesFieldNumber, [&] { put(key, value); });
        for (const auto& l : s.links) out_.message(field::kLinksFieldNumber, [&] { put(l); });
        if (s.outcome != span::status::unset) out_.message(field::kStatusFieldNumber, [&] { put_status(s); });
        out_.fixed32(field::kFlagsFieldNumber, sampled_flag);
    }

private:
    void text(int field, const std::string& what) {
        if (!what.empty()) put_text(field, what);
    }
    void put_text(int field, const std::string& what) {
        if (is_utf8(what)) out_.put_bytes(field, what);
        else out_.put_bytes(field, valid_utf8(what));
    }
    void put(std::string_view key, const attribute& value) {
        out_.bytes(otlp::KeyValue::kKeyFieldNumber, key);
        out_.message(otlp::KeyValue::kValueFieldNumber, [&] { std::visit([this](const auto& v) { put(v); }, value); });
    }
    void put(const std::string& value) { put_text(otlp::AnyValue::kStringValueFieldNumber, value); }
    void put(std::int64_t value) {
        out_.put_varint(otlp::AnyValue::kIntValueFieldNumber, static_cast<std::uint64_t>(value));
    }
    void put(double value) {
        out_.put_fixed64(otlp::AnyValue::kDoubleValueFieldNumber, std::bit_cast<std::uint64_t>(value));
    }
    void put(bool value) { out_.put_varint(otlp::AnyValue::kBoolValueFieldNumber, value ? 1 : 0); }
    void put(const span::link& l) {
        out_.bytes(otlp::Span::Link::kTraceIdFieldNumber, bytes_of(l.trace_id));
        out_.bytes(otlp::Span::Link::kSpanIdFieldNumber, bytes_of(l.span_id));
        out_.bytes(otlp::Span::Link::kTraceStateFieldNumber, l.tracestate);
    }
    void put_status(const span& s) {
        text(otlp::Status::kMessageFieldNumber, s.message);
        out_.varint(otlp::Status::kCodeFieldNumber, static_cast<std::uint64_t>(s.outcome));
    }

    wire_writer out_;
};

}  // namespace

void span_batch::add(const span& s) {
    auto known = std::ranges::find(by_process_, s.process, &spans_of_process::process);
    if (known == by_process_.end()) known = by_process_.insert(known, {s.process, {}});
    auto& to = known->spans;
    const auto before = to.size();
    try {
        wire_writer(to).message(otlp::ScopeSpans::kSpansFieldNumber, [&] { span_writer(to).put(s); });
    } catch (...) {
        to.resize(before);
        throw;
    }
    ++count_;
    bytes_ += to.size() - before;
}

std::string span_batch::request(const resource_attributes& host) const {
    std::string made;
    wire_writer out(made);
    const auto scope = own_scope().SerializeAsString();
    for (const auto& [process, spans] : by_process_)
        out.message(otlp::ExportTraceServiceRequest::kResourceSpansFieldNumber, [&] {
            out.put_bytes(otlp::ResourceSpans::kResourceFieldNumber,
                          resource_of(host, process ? *process : resource_attributes()).SerializeAsString());
            out.message(otlp::ResourceSpans::kScopeSpansFieldNumber, [&] {
                out.put_bytes(otlp::ScopeSpans::kScopeFieldNumber, scope);
                made.append(spans);
            });
        });
    return made;
}

}  // namespace snakepit::detail
