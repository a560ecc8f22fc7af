#include "stress/chaos/history.hpp"

#include <fstream>
#include <stdexcept>

namespace snakepit::chaos {

std::map<std::uint64_t, marks> read_marks(const std::filesystem::path& file) {
    std::map<std::uint64_t, marks> found;
    std::ifstream in(file);
    for (std::string what; in >> what;) {
        std::uint64_t id = 0;
        if (!(in >> id) || (what != "begun" && what != "done"))
            throw std::runtime_error("a line of " + file.string() + " is broken: " + what);
        auto& m = found[id];
        ++(what == "begun" ? m.begun : m.done);
    }
    return found;
}

std::string process_of(const error& lost) {
    const auto& words = lost.message();
    const auto at = words.find("(pid ");
    const auto end = at == words.npos ? at : words.find(')', at);
    // An end without a process has its whole reason for a name.
    return lost.worker() + " " + (end == words.npos ? words : words.substr(at, end - at + 1));
}

}  // namespace snakepit::chaos
