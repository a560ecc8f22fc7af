#include "capsule/worker_machine.hpp"

#include <algorithm>
#include <iterator>

namespace snakepit::detail {
namespace {

struct transition {
    worker_state from;
    happening what;
    worker_state to;
    action then;
};

using enum worker_state;
using h = happening;
using a = action;

// clang-format off
constexpr transition table[] = {
    // from             what                 to                 then
    {booting,           h::up,               ready,             a::publish},
    {booting,           h::not_up,           restarting,        a::back_off},
    {booting,           h::retire,           stopping,          a::end},
    {booting,           h::stop,             stopping,          a::end},

    {ready,             h::working,          executing,         a::none},
    {ready,             h::missed,           missed_heartbeat,  a::withhold},
    {ready,             h::lost,             restarting,        a::back_off},
    {ready,             h::worn,             recycling,         a::breed},
    {ready,             h::retire,           stopping,          a::retire},
    {ready,             h::stop,             stopping,          a::end},

    {executing,         h::idle,             ready,             a::none},
    {executing,         h::missed,           missed_heartbeat,  a::withhold},
    {executing,         h::lost,             restarting,        a::back_off},
    {executing,         h::worn,             recycling,         a::breed},
    {executing,         h::retire,           stopping,          a::retire},
    {executing,         h::stop,             stopping,          a::end},

    {missed_heartbeat,  h::alive,            ready,             a::publish},
    {missed_heartbeat,  h::silent,           missed_heartbeat,  a::give_up_on},
    {missed_heartbeat,  h::lost,             restarting,        a::back_off},
    {missed_heartbeat,  h::worn,             recycling,         a::breed},
    {missed_heartbeat,  h::retire,           stopping,          a::retire},
    {missed_heartbeat,  h::stop,             stopping,          a::end},

    {recycling,         h::successor_up,     ready,             a::hand_over},
    {recycling,         h::successor_failed, ready,             a::carry_on},
    {recycling,         h::missed,           recycling,         a::withhold},
    {recycling,         h::alive,            recycling,         a::publish},
    {recycling,         h::silent,           recycling,         a::give_up_on},
    {recycling,         h::lost,             booting,           a::promote},
    {recycling,         h::retire,           stopping,          a::retire},
    {recycling,         h::stop,             stopping,          a::end},

    {restarting,        h::due,              booting,           a::start},
    {restarting,        h::spent,            dead,              a::break_down},
    {restarting,        h::retire,           stopping,          a::end},
    {restarting,        h::stop,             stopping,          a::end},

    {dead,              h::due,              booting,           a::start},
    {dead,              h::retire,           stopping,          a::end},
    {dead,              h::stop,             stopping,          a::end},

    {stopping,          h::silent,           stopping,          a::give_up_on},
    {stopping,          h::stop,             stopping,          a::end},
    {stopping,          h::gone,             dead,              a::finish},
};
// clang-format on

}  // namespace

action worker_machine::on(happening what) noexcept {
    const auto found =
        std::ranges::find_if(table, [&](const transition& t) { return t.from == state_ && t.what == what; });
    if (found == std::end(table)) return action::none;
    state_ = found->to;
    return found->then;
}

std::string_view to_string(happening what) noexcept {
    switch (what) {
        case happening::up: return "up";
        case happening::not_up: return "not_up";
        case happening::lost: return "lost";
        case happening::working: return "working";
        case happening::idle: return "idle";
        case happening::missed: return "missed";
        case happening::alive: return "alive";
        case happening::silent: return "silent";
        case happening::worn: return "worn";
        case happening::successor_up: return "successor_up";
        case happening::successor_failed: return "successor_failed";
        case happening::due: return "due";
        case happening::spent: return "spent";
        case happening::retire: return "retire";
        case happening::stop: return "stop";
        case happening::gone: return "gone";
    }
    return "unknown";
}

}  // namespace snakepit::detail
