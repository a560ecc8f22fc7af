#pragma once
// Which Pythons may run the workers, in the order in which they are tried.

#include <string>
#include <vector>

namespace snakepit::detail {

struct python_candidate {
    std::string path;    ///< absolute, or as given when there is no such program
    std::string origin;  ///< why it is one: "python3 on PATH"
    bool exists = false;
};

/** @param wanted  `pool_options::python`: a path or a name on PATH, then the only candidate; or empty, then
                   $SNAKEPIT_PYTHON, $VIRTUAL_ENV/bin/python, python3 on PATH, /usr/bin/python3, each once */
[[nodiscard]] std::vector<python_candidate> python_candidates(const std::string& wanted);

}  // namespace snakepit::detail
