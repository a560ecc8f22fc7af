#pragma once
// What JSON has no word for, as maps of one tag.

#include <snakepit/value.hpp>

namespace snakepit::detail {

/// A copy in which only plain JSON is left. Recursive: for values of at most max_depth levels.
[[nodiscard]] value with_tags(const value& v);

/// Replaces a map that is a tag by what it stands for; its parts have been replaced before.
/// @return  whether it was one
bool replace_tag(value& v);

}  // namespace snakepit::detail
