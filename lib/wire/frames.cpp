#include "wire/frames.hpp"

#include "error/names.hpp"
#include "pool/limits.hpp"
#include "snakepit/v1/work.pb.h"
#include "value/codec.hpp"
#include "value/utf8.hpp"

#include <fmt/format.h>

namespace snakepit::detail {
namespace {

errc code_of(v1::Failure::Kind kind) {
    switch (kind) {
        case v1::Failure::BAD_ARGUMENTS: return errc::bad_arguments;
        case v1::Failure::UNSERIALIZABLE:
        case v1::Failure::UNDECODABLE: return errc::unserializable;
        case v1::Failure::TOO_LARGE: return errc::message_too_large;
        case v1::Failure::CANCELLED: return errc::cancelled;
        case v1::Failure::EXPIRED: return errc::deadline_exceeded;
        case v1::Failure::UNKNOWN_TOOL: return errc::unknown_tool;
        default: return errc::tool_raised;
    }
}

error error_of(v1::Failure& f) {
    const auto code = code_of(f.kind());
    if (code != errc::tool_raised) return {code, std::move(*f.mutable_message())};
    python_error raised;
    raised.type = std::move(*f.mutable_type());
    raised.message = f.message();
    raised.traceback = std::move(*f.mutable_traceback());
    for (const auto& c : f.causes()) raised.causes.push_back({c.type(), c.message()});
    auto message = raised.message.empty() ? raised.type : raised.type + ": " + raised.message;
    return error(code, std::move(message)).with_python(std::move(raised));
}

void encode_streams(const out_frame& from, v1::StreamWord& to) {
    v1::Items* open = nullptr;  // of the call before, when more values fit into it
    for (const auto& [call, what] : from.inputs) {
        const bool is_cut = what.size != 0 && what.size < what.whole->size();
        if (!open || open->call() != call || is_cut) {
            open = to.add_items();
            open->set_call(call);
        }
        if (is_cut) open->set_total(what.whole->size());
        if (what.whole) open->add_values(what.whole->data() + what.offset, what.size);
        if (what.is_last) open->set_finished(true);
        if (is_cut) open = nullptr;
    }
    for (const auto& [call, bytes] : from.grants) {
        auto& g = *to.add_grants();
        g.set_call(call);
        g.set_bytes(bytes);
    }
}

}  // namespace

void encode_frame(const out_frame& from, v1::WorkDown& to) {
    to.Clear();
    for (const auto& chunk : from.chunks) {
        auto& c = *to.add_chunks();
        c.set_transfer(chunk.transfer);
        if (!chunk.whole) {
            c.set_abort(true);
            continue;
        }
        c.set_offset(chunk.offset);
        c.set_total(chunk.whole->size());
        c.set_data(chunk.whole->data() + chunk.offset, chunk.size);
    }
    for (const auto& answer : from.answers) {
        auto& a = *to.add_answers();
        a.set_number(answer.number);
        if (answer.transfer) a.set_transfer(answer.transfer);
        else a.set_finding(*answer.bytes);
    }
    const auto now = call::clock::now();
    const auto since_boot = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
    to.set_sent_us(static_cast<std::uint64_t>(since_boot.count()));  // steady_clock is CLOCK_MONOTONIC on Linux
    for (const auto& call : from.calls) {
        auto& c = *to.add_calls();
        c.set_id(call.id);
        c.set_tool(call.tool);
        if (call.transfer) c.set_transfer(call.transfer);
        else c.set_inline_(call.of->arguments);
        if (call.of->deadline != call::clock::time_point::max()) {
            const auto left = std::chrono::ceil<std::chrono::microseconds>(call.of->deadline - now).count();
            c.set_timeout_us(static_cast<std::uint64_t>(std::max<std::int64_t>(left, 1)));
        }
        if (call.of->stream) c.set_streams(true);
        if (!call.of->session.empty()) c.set_session(call.of->session);
        if (const auto& trace = call.of->trace) {
            trace->put_traceparent(*c.mutable_traceparent());
            if (!trace->tracestate.empty()) c.set_tracestate(trace->tracestate);
            if (trace->is_recorded()) c.set_recorded(true);
        }
    }
    for (const auto& each : from.leases) {
        auto& lease = *to.mutable_calls(static_cast<int>(each.of))->mutable_lease();
        for (std::size_t i = 0; i < each.names->size(); ++i) {
            const auto& v = each.what.variables[i];
            if (!goes_along(v)) continue;
            lease.add_names((*each.names)[i]);
            lease.add_values(v.bytes ? *v.bytes : std::string());
            lease.add_versions(v.version);
        }
        lease.set_room_variables(each.what.room_variables);
        lease.set_room_bytes(each.what.room_bytes);
        lease.set_max_value_bytes(each.what.max_value_bytes);
        lease.set_writes(from.writes_taken);
    }
    if (!from.inputs.empty() || !from.grants.empty()) encode_streams(from, *to.mutable_streams());
}

std::optional<settlement> settlement_of(std::uint64_t id, const page::reply& left) {
    if (!left.failed) return settlement{id, decode(left.bytes, "result")};
    v1::Failure failure;
    if (!failure.ParseFromString(left.bytes)) return std::nullopt;
    settlement s{id, tl::unexpected(error_of(failure))};
    s.recalled = failure.kind() == v1::Failure::RECALLED;
    return s;
}

std::string encode_finding(const finding& what) {
    v1::Finding to;
    if (const auto* variables = std::get_if<std::vector<stored_variable>>(&what)) {
        for (const auto& v : *variables) {
            auto& each = *to.add_variables();
            if (v.bytes) each.set_value(*v.bytes);
            each.set_version(v.version);
        }
    } else if (const auto* versions = std::get_if<std::vector<std::uint64_t>>(&what)) {
        to.mutable_versions()->Add(versions->begin(), versions->end());
    } else if (const auto* names = std::get_if<std::vector<std::string>>(&what)) {
        for (const auto& n : *names) to.add_names(n);
    } else if (const auto* v = std::get_if<found::value>(&what)) {
        to.set_value(v->bytes);
    } else {
        const auto* gone = std::get_if<given_up>(&what);
        const auto* why = gone ? &gone->why : std::get_if<error>(&what);
        if (!why) return {};  // done
        auto& refusal = *to.mutable_refusal();
        refusal.set_given_up(gone != nullptr);
        refusal.set_reason(std::string(name_of(why->code())));
        constexpr std::size_t longest = 8 << 10;
        refusal.set_message(valid_utf8(why->message().substr(0, longest)));
        if (const auto* python = why->python()) {
            auto& raised = *refusal.mutable_raised();
            raised.set_kind(v1::Failure::TOOL_RAISED);
            raised.set_type(python->type);
            raised.set_message(python->message);
            raised.set_traceback(python->traceback);
        }
    }
    return to.SerializeAsString();
}

std::optional<std::string> frame_reader::read(v1::WorkUp& frame, in_frame& into) {
    auto& writes = into.writes;
    auto& replies = into.replies;
    auto& questions = into.questions;
    if (const auto size = frame.ByteSizeLong(); size > max_frame_bytes)
        return fmt::format("a frame of {} bytes, {} are allowed", size, max_frame_bytes);
    const auto values = static_cast<std::size_t>(frame.values_size());
    const auto replies_size = static_cast<std::size_t>(frame.replies_size());
    auto items = static_cast<std::size_t>(frame.chunks_size()) + replies_size + values +
                 static_cast<std::size_t>(frame.asks_size()) +
                 static_cast<std::size_t>(frame.write_calls_size() + frame.write_names_size());
    for (const auto& each : frame.streams().items()) items += static_cast<std::size_t>(each.values_size());
    items += static_cast<std::size_t>(frame.streams().grants_size());
    if (items > max_frame_items) return fmt::format("a frame of {} items, {} are allowed", items, max_frame_items);
    for (const auto& chunk : frame.chunks())
        if (auto breach = take(chunk)) return breach;
    if (static_cast<std::size_t>(frame.ids_size()) != values || static_cast<std::size_t>(frame.run_us_size()) != values)
        return fmt::format("{} values, but {} ids and {} times", values, frame.ids_size(), frame.run_us_size());
    replies.reserve(values + replies_size);
    for (int i = 0; i < frame.values_size(); ++i) {
        if (frame.values(i).size() > max_inline_bytes)
            return fmt::format("a value of {} bytes in one piece", frame.values(i).size());
        replies.push_back({frame.ids(i), decode(frame.values(i), "result"), true, frame.run_us(i)});
    }
    for (auto& reply : *frame.mutable_replies()) {
        settlement s{reply.id(), value()};
        s.run_us = reply.run_us();
        if (auto breach = take(reply, s)) return breach;
        replies.push_back(std::move(s));
    }
    if (auto breach = take_writes(frame, writes)) return breach;
    if (frame.has_streams())
        if (auto breach = take_streams(frame, into)) return breach;
    for (const auto& ask : frame.asks()) {
        question q;
        if (auto breach = take(ask, q)) return breach;
        questions.push_back(std::move(q));
    }
    return std::nullopt;
}

std::optional<std::string> frame_reader::take_streams(v1::WorkUp& frame, in_frame& into) const {
    for (auto& each : *frame.mutable_streams()->mutable_items()) {
        auto& a = into.items.emplace_back();
        a.call = each.call();
        a.total = each.total();
        if (a.total > max_message_bytes_)
            return fmt::format("an item of {} bytes, {} are allowed", a.total, max_message_bytes_);
        if (each.values_size() == 0 || (a.total != 0 && each.values_size() != 1))
            return "items without a value, or pieces with many";
        a.values.reserve(static_cast<std::size_t>(each.values_size()));
        for (auto& v : *each.mutable_values()) {
            if (v.empty() || v.size() > max_inline_bytes)
                return fmt::format("an item of {} bytes in one piece", v.size());
            a.values.push_back(std::move(v));
        }
    }
    for (const auto& each : frame.streams().grants()) into.grants.push_back({each.call(), each.bytes()});
    return std::nullopt;
}

std::optional<std::string> frame_reader::take_writes(v1::WorkUp& frame, std::vector<session_write>& into) {
    int next = 0;
    if (frame.write_sizes_size() != frame.write_calls_size() || frame.write_values_size() != frame.write_names_size())
        return "writes whose columns differ in length";
    for (int i = 0; i < frame.write_calls_size(); ++i) {
        auto& w = into.emplace_back();
        w.call = frame.write_calls(i);
        for (auto left = frame.write_sizes(i); left > 0; --left, ++next) {
            if (next == frame.write_names_size()) return "writes with fewer changes than they say";
            if (frame.write_values(next).size() > max_inline_bytes) return "a large value to be written in one piece";
            auto& change = w.changes.emplace_back();
            change.name = std::move(*frame.mutable_write_names(next));
            change.bytes = std::make_shared<const std::string>(std::move(*frame.mutable_write_values(next)));
        }
    }
    return next == frame.write_names_size() ? std::nullopt : std::optional<std::string>("changes that belong nowhere");
}

std::optional<std::string> frame_reader::take(const v1::Ask& ask, question& into) {
    into.number = ask.number();
    into.call = ask.call();
    v1::Question q;
    std::string whole;
    if (ask.has_transfer()) {
        if (const auto breach = take_transfer(ask.transfer(), whole))
            return fmt::format("question {} {}", ask.number(), *breach);
    } else if (ask.question().size() > max_inline_bytes) {
        return fmt::format("a question of {} bytes in one piece", ask.question().size());
    }
    if (!q.ParseFromString(ask.has_transfer() ? whole : ask.question()))
        return fmt::format("question {} cannot be read", ask.number());
    switch (q.kind_case()) {
        case v1::Question::kRead:
            into.what = asked::read{{q.read().names().begin(), q.read().names().end()}};
            return std::nullopt;
        case v1::Question::kWrite: {
            asked::write w;
            for (auto& c : *q.mutable_write()->mutable_changes()) {
                auto& change = w.changes.emplace_back();
                change.name = std::move(*c.mutable_name());
                if (c.has_value()) change.bytes = std::make_shared<const std::string>(std::move(*c.mutable_value()));
                if (c.has_expected()) change.expected = c.expected();
            }
            into.what = std::move(w);
            return std::nullopt;
        }
        case v1::Question::kNames: into.what = asked::names(); return std::nullopt;
        case v1::Question::kExpireAfter: {
            constexpr std::uint64_t longest = 1'000ull * 3600 * 24 * 10'000;
            const auto ttl = std::min<std::uint64_t>(q.expire_after().milliseconds(), longest);
            into.what = asked::expire_after{std::chrono::milliseconds(ttl)};
            return std::nullopt;
        }
        case v1::Question::kClose: into.what = asked::close(); return std::nullopt;
        case v1::Question::kHostCall:
            into.what = asked::host_call{std::move(*q.mutable_host_call()->mutable_tool()),
                                         std::move(*q.mutable_host_call()->mutable_arguments())};
            return std::nullopt;
        case v1::Question::KIND_NOT_SET: break;
    }
    return fmt::format("question {} asks for nothing that is known", ask.number());
}

/// A transfer that is complete, which is then forgotten.
std::optional<std::string> frame_reader::take_transfer(std::uint64_t number, std::string& into) {
    const auto whole = open_.find(number);
    if (whole == open_.end() || whole->second.data.size() != whole->second.total)
        return "refers to a transfer that is not complete";
    into = std::move(whole->second.data);
    open_bytes_ -= whole->second.total;
    open_.erase(whole);
    return std::nullopt;
}

std::optional<std::string> frame_reader::take(const v1::Chunk& chunk) {
    const auto known = open_.find(chunk.transfer());
    if (chunk.abort()) {
        if (known != open_.end()) {
            open_bytes_ -= known->second.total;
            open_.erase(known);
        }
        return std::nullopt;
    }
    if (chunk.data().empty() || chunk.data().size() > max_inline_bytes)
        return fmt::format("a chunk of {} bytes", chunk.data().size());
    if (known == open_.end()) {
        if (chunk.offset() != 0) return fmt::format("transfer {} does not begin at 0", chunk.transfer());
        if (chunk.total() <= max_inline_bytes)
            return fmt::format("a transfer of {} bytes, which would have fitted into a frame", chunk.total());
        if (chunk.total() > max_message_bytes_)
            return fmt::format("a transfer of {} bytes, {} are allowed", chunk.total(), max_message_bytes_);
        if (!open_.empty() && open_bytes_ + chunk.total() > max_inflight_bytes)
            return fmt::format("open transfers of more than {} bytes", max_inflight_bytes);
        auto& t = open_[chunk.transfer()];
        t.total = chunk.total();
        open_bytes_ += t.total;
        t.data.reserve(t.total);
        t.data = chunk.data();
        return std::nullopt;
    }
    auto& t = known->second;
    if (chunk.total() != t.total || chunk.offset() != t.data.size() || chunk.data().size() > t.total - t.data.size())
        return fmt::format("a chunk of transfer {} does not fit the others", chunk.transfer());
    t.data += chunk.data();
    return std::nullopt;
}

std::optional<std::string> frame_reader::take(v1::Reply& reply, settlement& into) {
    switch (reply.outcome_case()) {
        case v1::Reply::kFailure:
            into.recalled = reply.failure().kind() == v1::Failure::RECALLED;
            into.outcome = tl::unexpected(error_of(*reply.mutable_failure()));
            into.has_run = reply.run_us() != 0 && !into.recalled;
            return std::nullopt;
        case v1::Reply::kTransfer: {
            std::string whole;
            if (const auto breach = take_transfer(reply.transfer(), whole))
                return fmt::format("reply to call {} {}", reply.id(), *breach);
            into.outcome = decode(whole, "result");
            return std::nullopt;
        }
        case v1::Reply::OUTCOME_NOT_SET: break;
    }
    return fmt::format("reply to call {} has no outcome", reply.id());
}

}  // namespace snakepit::detail
