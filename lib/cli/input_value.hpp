#pragma once
// What a line of the input means.

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <string_view>

namespace snakepit::cli {

enum class line_form {
    automatic,  ///< JSON when it is JSON, else text
    text,
    json
};

/** The value that a line stands for.

    @return  or errc::bad_arguments: no JSON where it has to be, or JSON that cannot travel (an integer of more than 64
             bits, nesting over 500, which is not silently taken for text); errc::unserializable: not UTF-8 */
[[nodiscard]] result<value> value_of_line(std::string_view line, line_form form);

}  // namespace snakepit::cli
