#pragma once
// The numbers of the wire; proto/snakepit/v1 documents them, py/snakepit/_protocol.py has the same.

#include <cstddef>
#include <cstdint>

namespace snakepit::detail {

inline constexpr std::uint32_t protocol_major = 1;
inline constexpr std::uint32_t protocol_minor = 0;
inline constexpr std::size_t max_frame_bytes = std::size_t{256} << 10;
inline constexpr std::size_t max_frame_items = 512;
inline constexpr std::size_t max_inline_bytes = std::size_t{128} << 10;  ///< larger values travel as chunks
inline constexpr std::size_t max_inflight_bytes = std::size_t{8} << 20;
inline constexpr std::size_t eager_flush_bytes = std::size_t{64} << 10;  ///< a flush does not wait for its turn then
inline constexpr std::size_t eager_flush_items = 64;
inline constexpr std::size_t stream_window = std::size_t{1} << 20;  ///< credit with which a stream begins, each way
inline constexpr std::size_t stream_item_cost = 64;                 ///< that an item takes beside its bytes
inline constexpr std::size_t item_overhead = 64;  ///< upper bound of an item's fields beside value and session

}  // namespace snakepit::detail
