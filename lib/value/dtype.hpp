#pragma once
// numpy's dtypes, as far as they are of fixed size.

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit::detail {

/// numpy's own limit.
inline constexpr std::size_t max_dimensions = 32;
/// Deepest nesting of structured dtypes.
inline constexpr int max_dtype_depth = 100;

/// A dtype as numpy's `.npy` format describes it.
struct dtype {
    value descr;  ///< text, or for a structured dtype a list of [name, dtype] or [name, dtype, shape]
    std::size_t item_size;

    /// How snakepit::array shows it: text as it is, a list as JSON.
    [[nodiscard]] std::string text() const;
};

/** Checks a descr and brings it into numpy's own form ("f8" becomes "<f8").
    @return  or errc::bad_arguments: unknown, object, byte order not native */
[[nodiscard]] result<dtype> parse_dtype(value descr);
/// The same from what `dtype::text` makes.
[[nodiscard]] result<dtype> parse_dtype_text(std::string_view text);

/// Elements in a shape, times bytes of each; nothing when numpy could not count them.
[[nodiscard]] std::optional<std::size_t> bytes_of_shape(const std::vector<std::size_t>& shape, std::size_t item_size);

}  // namespace snakepit::detail
