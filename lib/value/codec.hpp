#pragma once
// Values to and from MessagePack, the form in which they travel inside frames.

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <span>
#include <string>
#include <string_view>

namespace snakepit::detail {

/// Deepest nesting that may travel; py/snakepit/_codec.py has the same number.
inline constexpr int max_depth = 500;
/// MessagePack ext code of an array: payload is MessagePack of [descr, shape, data].
inline constexpr int array_ext = 1;

/** MessagePack of a value.
    @param root  how error messages call the value: "args" gives `args["rows"][3]: ...`
    @return  or errc::unserializable naming the path: text that is not UTF-8, nesting over max_depth, a discarded
             value, a binary subtype that is not ours; errc::message_too_large over max_bytes */
[[nodiscard]] result<std::string> encode(const value& v, std::string_view root, std::size_t max_bytes);

/** The value of a MessagePack text, trusting nothing in it.
    @return  or errc::unserializable naming the path: truncated, trailing bytes, keys that are not text, text that is
             not UTF-8, nesting over max_depth, unknown ext codes, malformed arrays */
[[nodiscard]] result<value> decode(std::string_view bytes, std::string_view root);

}  // namespace snakepit::detail
