#include "process/python_candidates.hpp"

#include <unistd.h>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>

namespace snakepit::detail {
namespace {
namespace fs = std::filesystem;

bool is_program(const fs::path& file) {
    std::error_code none;
    return fs::is_regular_file(file, none) && ::access(file.c_str(), X_OK) == 0;
}

python_candidate candidate(const std::string& name, std::string origin) {
    if (name.find('/') != std::string::npos) {
        std::error_code none;
        return {fs::absolute(name, none).string(), std::move(origin), is_program(name)};
    }
    const char* path = std::getenv("PATH");
    std::istringstream dirs(path ? path : "/usr/local/bin:/usr/bin:/bin");
    for (std::string dir; std::getline(dirs, dir, ':');)
        if (!dir.empty() && is_program(fs::path(dir) / name))
            return {(fs::path(dir) / name).string(), std::move(origin), true};
    return {name, std::move(origin), false};
}

}  // namespace

std::vector<python_candidate> python_candidates(const std::string& wanted) {
    if (!wanted.empty()) return {candidate(wanted, "pool_options::python")};
    std::vector<python_candidate> found;
    const auto add = [&](const std::string& name, const char* origin) {
        auto c = candidate(name, origin);
        const bool known = std::any_of(found.begin(), found.end(), [&](const auto& f) { return f.path == c.path; });
        if (!known) found.push_back(std::move(c));
    };
    if (const char* set = std::getenv("SNAKEPIT_PYTHON"); set && *set) add(set, "$SNAKEPIT_PYTHON");
    if (const char* venv = std::getenv("VIRTUAL_ENV"); venv && *venv)
        add(std::string(venv) + "/bin/python", "$VIRTUAL_ENV/bin/python");
    add("python3", "python3 on PATH");
    add("/usr/bin/python3", "the system's");
    return found;
}

}  // namespace snakepit::detail
