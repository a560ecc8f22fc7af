#include <snakepit/events.hpp>

#include "error/names.hpp"
#include "telemetry/event_fields.hpp"
#include "telemetry/event_names.hpp"
#include "telemetry/rfc3339.hpp"

#include <algorithm>

namespace snakepit {
namespace {

value json(const std::string& text) { return text; }
value json(std::string_view text) { return std::string(text); }
value json(bool b) { return b; }
value json(int n) { return n; }
value json(std::uint64_t n) { return n; }
template <class Rep, class Period>
value json(std::chrono::duration<Rep, Period> d) {
    return std::chrono::duration<double>(d).count();
}
template <std::size_t Bytes>
value json(const binary_id<Bytes>& id) {
    return to_string(id);
}
value json(const worker_count& c) { return {{"min", c.min}, {"max", c.max}}; }
value json(const error& e) {
    value made{{"code", std::string(detail::name_of(e.code()))}, {"message", e.message()}};
    if (e.exit()) made["exit"] = e.exit()->describe();
    return made;
}
value json(const std::optional<error>& e) { return e ? json(*e) : value(); }
value json(const std::vector<std::pair<std::string, std::string>>& fields) {
    value made = value::object();
    for (const auto& [key, text] : fields) made[key] = text;
    return made;
}
value json(const std::vector<happened::attempt>& attempts) {
    value made = value::array();
    for (const auto& a : attempts)
        made.push_back({{"worker", a.worker}, {"took", json(a.ended - a.sent)}, {"outcome", a.outcome}});
    return made;
}

using detail::event_names;

}  // namespace

std::string_view name_of(const event& e) noexcept { return event_names[e.what.index()]; }

value to_value(const event& e) {
    value made{{"time", detail::rfc3339(e.time)}, {"event", std::string(name_of(e))}};
    detail::for_each_field(e.what, [&](const char* name, const auto& member) { made[name] = json(member); });
    return made;
}

std::optional<event_filter> event_filter::named(const std::vector<std::string>& wanted) {
    event_filter f;
    f.kinds_.reset();
    for (const auto& name : wanted) {
        const auto found = std::find(event_names.begin(), event_names.end(), name);
        if (found == event_names.end()) return std::nullopt;
        f.kinds_.set(static_cast<std::size_t>(found - event_names.begin()));
    }
    return f;
}

bool event_filter::wants(const event& e) const {
    if (!kinds_.test(e.what.index())) return false;
    if (worker_.empty()) return true;
    return std::visit(
        [&](const auto& what) {
            if constexpr (requires { what.worker; }) return what.worker == worker_;
            else return false;
        },
        e.what);
}

}  // namespace snakepit
