#pragma once
// Who descends from a process, from /proc.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace snakepit::perf {

/// Without the process itself.
inline std::vector<int> descendants_of(int pid) {
    std::multimap<int, int> children;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", none)) {
        const int child = std::atoi(entry.path().filename().c_str());
        std::ifstream file(entry.path() / "stat");
        std::string line;
        if (child <= 0 || !std::getline(file, line)) continue;
        // The name, in brackets, may hold anything; then the state, and the parent.
        const auto after_name = line.rfind(')');
        if (after_name == line.npos) continue;
        children.emplace(std::atoi(line.c_str() + after_name + 4), child);
    }
    std::vector<int> found{pid};
    for (std::size_t i = 0; i < found.size(); ++i)
        for (auto [it, end] = children.equal_range(found[i]); it != end; ++it) found.push_back(it->second);
    found.erase(found.begin());
    return found;
}

}  // namespace snakepit::perf
