#include "admin/protocol.hpp"

#include "error/names.hpp"
#include "pool/nearest_names.hpp"
#include "telemetry/event_names.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

namespace snakepit::detail::admin {
namespace {

enum class kind { text, number, flag, texts };

struct field {
    std::string_view name;
    kind what;
    bool needed = false;
};

using made = tl::expected<request, refusal>;

struct entry {
    std::string_view name;
    std::vector<field> fields;
    made (*make)(const value& from);
};

std::string_view words_for(kind what) {
    switch (what) {
        case kind::text: return "a text";
        case kind::number: return "a whole number";
        case kind::flag: return "true or false";
        case kind::texts: return "a list of texts";
    }
    return "?";
}

bool fits(const value& v, kind what) {
    switch (what) {
        case kind::text: return v.is_string();
        case kind::number:
            return v.is_number_integer() &&
                   (v.is_number_unsigned() ? v.get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<int>::max()}
                                           : v.get<std::int64_t>() >= std::numeric_limits<int>::min());
        case kind::flag: return v.is_boolean();
        case kind::texts:
            return v.is_array() && std::ranges::all_of(v, [](const value& one) { return one.is_string(); });
    }
    return false;
}

refusal bad_request(std::string message) { return {"bad_request", std::move(message)}; }
refusal bad_argument(std::string message) { return {std::string(name_of(errc::bad_arguments)), std::move(message)}; }

std::string text_in(const value& from, const char* name) { return from.at(name).get<std::string>(); }

constexpr std::array levels{snakepit::log_level::debug, snakepit::log_level::info, snakepit::log_level::warning,
                            snakepit::log_level::error, snakepit::log_level::off};

made make_loglevel(const value& from) {
    if (!from.contains("level")) return loglevel{};
    const auto wanted = text_in(from, "level");
    const auto found = std::ranges::find(levels, wanted, [](auto l) { return to_string(l); });
    if (found != levels.end()) return loglevel{*found};
    std::vector<std::string_view> there_are;
    for (const auto l : levels) there_are.push_back(to_string(l));
    return tl::unexpected(
        bad_argument(fmt::format("no level \"{}\"; there are: {}", wanted, fmt::join(there_are, ", "))));
}

made make_resize(const value& from) {
    resize r;
    r.to = {.min = from.at("min").get<int>(), .max = from.value("max", 0)};
    if (from.contains("group")) r.group = text_in(from, "group");
    return r;
}

made make_recycle(const value& from) {
    auto worker = text_in(from, "worker");
    if (worker == "all") return recycle{};
    return recycle{std::move(worker)};
}

made make_events(const value& from) {
    events e;
    e.follow = from.value("follow", false);
    if (from.contains("only")) e.only = from.at("only").get<std::vector<std::string>>();
    const std::vector<std::string> there_are(event_names.begin(), event_names.end());
    for (const auto& name : e.only)
        if (std::ranges::find(there_are, name) == there_are.end())
            return tl::unexpected(
                bad_argument(fmt::format("no event \"{}\"; {}", name, nearest_names(name, there_are))));
    if (!e.only.empty()) e.filter = *event_filter::named(e.only);
    if (from.contains("worker")) {
        e.worker = text_in(from, "worker");
        e.filter.worker(e.worker);
    }
    return e;
}

template <class Request>
made make_plain(const value&) {
    return Request{};
}
template <class Request>
made make_for_worker(const value& from) {
    return Request{text_in(from, "worker")};
}

const std::vector<entry>& commands() {
    static const std::vector<field> worker{{"worker", kind::text, true}};
    static const std::vector<entry> all{
        {"status", {}, make_plain<status>},
        {"workers", {}, make_plain<workers>},
        {"stack", worker, make_for_worker<stack>},
        {"drain", {}, make_plain<drain>},
        {"resume", {}, make_plain<resume>},
        {"recycle", worker, make_recycle},
        {"resize", {{"min", kind::number, true}, {"max", kind::number}, {"group", kind::text}}, make_resize},
        {"kill", worker, make_for_worker<kill>},
        {"loglevel", {{"level", kind::text}}, make_loglevel},
        {"events", {{"only", kind::texts}, {"worker", kind::text}, {"follow", kind::flag}}, make_events},
        {"metrics", {}, make_plain<metrics>},
    };
    return all;
}

std::string fields_of(const entry& of) {
    if (of.fields.empty()) return "it has none";
    std::vector<std::string> all;
    for (const auto& f : of.fields) all.push_back(fmt::format("\"{}\" ({})", f.name, words_for(f.what)));
    return fmt::format("there are: {}", fmt::join(all, ", "));
}

/// What is wrong with the members of a request; nothing: each is one that there is, and what it should be.
std::optional<refusal> mistake_in(const value& given, const entry& of) {
    for (const auto& [name, content] : given.items()) {
        if (name == "command") continue;
        const auto found = std::ranges::find(of.fields, name, &field::name);
        if (found == of.fields.end())
            return bad_request(fmt::format("\"{}\" has no field \"{}\"; {}", of.name, name, fields_of(of)));
        if (!fits(content, found->what))
            return bad_request(
                fmt::format("the field \"{}\" of \"{}\" is to be {}", name, of.name, words_for(found->what)));
    }
    for (const auto& f : of.fields)
        if (f.needed && !given.contains(f.name))
            return bad_request(fmt::format("\"{}\" needs the field \"{}\" ({})", of.name, f.name, words_for(f.what)));
    return std::nullopt;
}

}  // namespace

refusal refusal_of(const error& why) {
    return {std::string(name_of(why.code())), why.message().empty() ? why.code().message() : why.message()};
}

tl::expected<request, refusal> parse(std::string_view line) {
    const auto given = value::parse(line, nullptr, false);
    if (given.is_discarded()) return tl::unexpected(bad_request("the line is not JSON"));
    if (!given.is_object())
        return tl::unexpected(bad_request(R"(a request is an object, such as {"command": "status"})"));
    const auto command = given.find("command");
    if (command == given.end() || !command->is_string())
        return tl::unexpected(bad_request(R"(a request has a field "command" (a text), such as "status")"));
    const auto name = command->get<std::string>();
    const auto found = std::ranges::find(commands(), name, &entry::name);
    if (found == commands().end()) {
        std::vector<std::string_view> all;
        for (const auto& c : commands()) all.push_back(c.name);
        return tl::unexpected(refusal{"unknown_command", fmt::format("no command \"{}\"; there are: {}",
                                                                     name.substr(0, 200), fmt::join(all, ", "))});
    }
    if (auto wrong = mistake_in(given, *found)) return tl::unexpected(std::move(*wrong));
    return found->make(given);
}

std::string line_of(const value& content) {
    return content.dump(-1, ' ', false, value::error_handler_t::replace) + '\n';
}

std::string ok_line(const value& content) {
    value all = content;
    all["ok"] = true;
    return line_of(all);
}

std::string refusal_line(const refusal& why) {
    return line_of({{"ok", false}, {"error", {{"code", why.code}, {"message", why.message}}}});
}

}  // namespace snakepit::detail::admin
