#include "stress/chaos/stream_script.hpp"

#include "stress/chaos/priorities.hpp"

#include <array>
#include <string>

namespace snakepit::chaos {
namespace {

struct kind {
    std::string_view tool;
    unsigned weight;
    bool takes_input;
    bool gathers;
};
constexpr std::array kinds = {
    kind{"produce", 30, false, false},    kind{"produce_async", 20, false, false}, kind{"relay", 20, true, false},
    kind{"relay_async", 15, true, false}, kind{"gather", 10, true, true},          kind{"gather_async", 10, true, true},
};

struct amount {
    unsigned weight;
    unsigned most_items;
    unsigned most_bytes;
};
constexpr std::array amounts = {
    amount{20, 3, 50},      amount{40, 60, 100},    amount{20, 600, 20},
    amount{15, 80, 40'000}, amount{5, 12, 400'000},  // more than 128 KiB: in pieces; and more than a window
};

struct manner {
    patience_of_reader patience;
    unsigned weight;
};
constexpr std::array manners = {
    manner{patience_of_reader::to_the_end, 60},
    manner{patience_of_reader::drops, 15},
    manner{patience_of_reader::cancels, 15},
    manner{patience_of_reader::asks_at_once, 10},
};

unsigned pause(dice& random) { return random(3) == 0 ? random.between(1, 8) : 0; }

}  // namespace

stream_script next_stream(dice& random) {
    const auto& what = kinds[random.weighted(kinds)];
    const auto& how_much = amounts[random.weighted(amounts)];
    stream_script s;
    s.tool = what.tool;
    s.takes_input = what.takes_input;
    s.gathers = what.gathers;
    s.items = random.between(0, how_much.most_items);
    s.size = random.between(0, how_much.most_bytes);
    s.tool_pause = pause(random);
    s.reader_pause = pause(random);
    s.sender_pause = pause(random);
    s.fails = !s.takes_input && random(8) == 0;
    if (s.takes_input) s.to_send = random.between(0, how_much.most_items);
    s.patience = manners[random.weighted(manners)].patience;
    s.stops_after = std::chrono::milliseconds(random(60));
    constexpr std::array<std::chrono::milliseconds, 5> timeouts = {
        std::chrono::milliseconds(0), std::chrono::milliseconds(30), std::chrono::milliseconds(1'000),
        std::chrono::milliseconds(5'000), std::chrono::milliseconds(10'000)};
    s.timeout = timeouts[random(timeouts.size())];
    s.priority = priority_of(random);
    return s;
}

value arguments_of(const stream_script& s, std::uint64_t call) {
    if (s.gathers) return list(call, s.items);
    if (s.takes_input) return list(call);
    return list(call, s.items, s.size, s.tool_pause, s.fails);
}

value item_of(const stream_script& s, std::uint64_t call, std::uint64_t number) {
    return list(call, number, std::string(s.size, 'x'));
}

}  // namespace snakepit::chaos
