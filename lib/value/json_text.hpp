#pragma once
// Values to and from strict JSON text without loss, for the command line. py/snakepit/_json_text.py is its twin.

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <string>
#include <string_view>

namespace snakepit::detail {

/// NaN and infinities as {"$float": "nan"|"inf"|"-inf"}, bytes as {"$bytes": "<base64>"}, arrays as
/// {"$array": {"dtype": ..., "shape": [...], "base64": "..."}}; everything else as JSON has it.
/// @param indent  spaces per level, or -1 for one line
/// @return  or errc::unserializable when a map in it would be read as one of these
[[nodiscard]] result<std::string> to_json_text(const value& v, int indent = -1);

/// The other way round. Plain JSON is taken as it is.
/// @return  or errc::bad_arguments with line and column of the mistake; bad content of these three is one
[[nodiscard]] result<value> from_json_text(std::string_view text);

}  // namespace snakepit::detail
