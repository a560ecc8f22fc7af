#include "stress/chaos/history.hpp"

namespace snakepit::chaos {

std::string process_of(const error& lost) {
    const auto& words = lost.message();
    const auto at = words.find("(pid ");
    const auto end = at == words.npos ? at : words.find(')', at);
    // An end without a process has its whole reason for a name.
    return lost.worker() + " " + (end == words.npos ? words : words.substr(at, end - at + 1));
}

}  // namespace snakepit::chaos
