#pragma once
// What this process and its descendants have, to see what is left of it later.

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace snakepit::chaos {

class possessions {
public:
    /// @param marker   "NAME=text", in the environment of every process that is ours
    /// @param runtime  where sockets and their directories are made
    possessions(std::string marker, std::filesystem::path runtime);

    /// One line for each thing that is there now and was not when this was made.
    [[nodiscard]] std::vector<std::string> left() const;

private:
    [[nodiscard]] std::set<std::string> files() const;

    std::string marker_;
    std::filesystem::path runtime_;
    std::map<int, std::string> descriptors_;
    std::multiset<std::string> mappings_;
    std::set<std::string> files_;
};

/// Children of a process that have ended and that it does not collect.
[[nodiscard]] std::vector<std::string> zombies_of(int parent);

}  // namespace snakepit::chaos
