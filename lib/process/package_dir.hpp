#pragma once
// Where the Python package that belongs to this library is.

#include <snakepit/error.hpp>

#include <string>

namespace snakepit::detail {

/** The directory of the Python package `snakepit`.

    $SNAKEPIT_PYTHON_PACKAGE if set; else `py/snakepit` in a directory above the library or program (a build tree);
    else where `meson install` put it.
    @return  or errc::python_unfit saying where it was looked for */
[[nodiscard]] result<std::string> package_dir();

}  // namespace snakepit::detail
