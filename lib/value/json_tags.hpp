#pragma once
// What JSON has no word for, as maps of one tag.

#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <string>

namespace snakepit::detail {

/// A copy in which only plain JSON is left. Recursive: for values of at most max_depth levels.
[[nodiscard]] value with_tags(const value& v);

/// The word of a map somewhere in `v` that would be read as a tag, or null. Recursive too.
[[nodiscard]] const std::string* find_lookalike(const value& v);

/// Replaces a map that is a tag by what it stands for; its parts have been replaced before.
/// @return  whether it was one; or errc::bad_arguments when its content stands for nothing
[[nodiscard]] result<bool> replace_tag(value& v);

}  // namespace snakepit::detail
