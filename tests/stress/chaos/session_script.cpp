#include "stress/chaos/session_script.hpp"

#include <array>

namespace snakepit::chaos {
namespace {

constexpr std::array kinds = {
    session_kind{"lasting-1", false, false, false}, session_kind{"lasting-2", false, false, false},
    session_kind{"strict-1", false, false, true},   session_kind{"strict-2", false, false, true},
    session_kind{"closing-1", true, false, false},  session_kind{"closing-2", true, false, true},
    session_kind{"expiring-1", false, true, false}, session_kind{"expiring-2", false, true, true},
    session_kind{"passing-1", true, true, false},
};

constexpr std::array<std::string_view, 4> variables = {"a", "b", "c", counter};

struct step_weight {
    std::string_view what;
    unsigned weight;
    bool changes;
};
constexpr std::array steps = {
    step_weight{"get", 25, false},  step_weight{"look", 20, false},
    step_weight{"wait", 12, false}, step_weight{"assign", 20, true},
    step_weight{"set", 10, true},   step_weight{"count", 12, true},
    step_weight{"erase", 4, true},  step_weight{"compare_and_set", 10, true},
};

session_step next_step(dice& random, session_log& log, bool may_change) {
    const auto* row = &steps[random.weighted(steps)];
    while (row->changes && !may_change) row = &steps[random.weighted(steps)];
    session_step s{row->what, variables[random(variables.size() - 1)]};
    if (s.what == "wait") s.milliseconds = random(5) == 0 ? random(20) : random(3);
    if (s.what == "erase") s.variable = erasable;
    if (s.what == "count" || (!row->changes && random(4) == 0)) s.variable = counter;
    if (row->changes && s.what != "erase") s.number = log.next_number();
    return s;
}

}  // namespace

std::span<const session_kind> session_kinds() { return kinds; }
std::span<const std::string_view> session_variables() { return variables; }

session_script next_script(dice& random, session_log& log) {
    session_script s;
    s.kind = &kinds[random(kinds.size())];
    const bool only_looks = random(6) == 0;
    s.tool = only_looks ? "look_at_session" : "use_session";
    constexpr std::array all = {affinity::none, affinity::hint, affinity::strict, affinity::strict};
    s.affinity = s.kind->is_strict ? affinity::strict : all[random(all.size())];
    s.birth = log.next_number();
    for (auto left = random.between(1, 12); left > 0; --left) s.steps.push_back(next_step(random, log, !only_looks));
    if (s.kind->may_be_closed && !only_looks && random(30) == 0) s.steps.push_back({"close", ""});
    return s;
}

value mark_of(const session_script& s) { return to_text({std::string(s.kind->key), birth, s.birth}); }

value steps_of(const session_script& s) {
    value all = value::array();
    for (const auto& step : s.steps) {
        value argument = step.milliseconds;
        if (step.number != 0) argument = to_text({std::string(s.kind->key), std::string(step.variable), step.number});
        all.push_back(list(std::string(step.what), std::string(step.variable), std::move(argument)));
    }
    return all;
}

}  // namespace snakepit::chaos
