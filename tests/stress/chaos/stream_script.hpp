#pragma once
// What streams there are, and how they are read and fed: the same from the same numbers.

#include "stress/chaos/schedule.hpp"

#include <snakepit/options.hpp>
#include <snakepit/value.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace snakepit::chaos {

/// When its reader stops before the end, and how.
enum class patience_of_reader {
    to_the_end,
    drops,        ///< destroys the stream, perhaps while it waits for an item
    cancels,      ///< and reads on
    asks_at_once  ///< for the end: nobody reads the items
};

struct stream_script {
    std::string_view tool;
    bool takes_input = false;
    bool gathers = false;
    bool fails = false;         ///< behind the last item
    unsigned items = 0;         ///< that it yields by itself, or gathers at most
    unsigned size = 0;          ///< of an item
    unsigned tool_pause = 0;    ///< milliseconds now and then, of the tool
    unsigned reader_pause = 0;  ///< likewise, of the reader
    unsigned sender_pause = 0;
    unsigned to_send = 0;
    patience_of_reader patience = patience_of_reader::to_the_end;
    std::chrono::milliseconds stops_after{};
    std::chrono::milliseconds timeout{};
    snakepit::priority priority = snakepit::priority::normal;
};

[[nodiscard]] stream_script next_stream(dice& random);

[[nodiscard]] value arguments_of(const stream_script& s, std::uint64_t call);
/// One that is sent.
[[nodiscard]] value item_of(const stream_script& s, std::uint64_t call, std::uint64_t number);

}  // namespace snakepit::chaos
