#pragma once
// The names of all kinds of events, in the order of their variant.

#include <snakepit/events.hpp>

#include <array>
#include <cstddef>
#include <utility>
#include <variant>

namespace snakepit::detail {

template <std::size_t... I>
constexpr auto names_of_events(std::index_sequence<I...>) {
    return std::array{std::variant_alternative_t<I, happened::any>::name...};
}
constexpr auto event_names = names_of_events(std::make_index_sequence<event_filter::kinds>());

}  // namespace snakepit::detail
