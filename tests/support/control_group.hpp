#pragma once
// Control groups, where this user may make some: what a system has too little of, for some processes alone.

#include "support/surroundings.hpp"

#include <unistd.h>
#include <fstream>
#include <string>
#include <system_error>

namespace snakepit::test {

/// A group of one controller, of version 1 or else 2. It goes with the object, when its processes have gone.
class control_group {
public:
    explicit control_group(const std::string& controller) {
        for (const auto& root : {"/sys/fs/cgroup/" + controller, std::string("/sys/fs/cgroup")}) {
            std::error_code failed;
            path_ = fs::path(root) / ("snakepit-test-" + std::to_string(::getpid()));
            if (!fs::is_regular_file(fs::path(root) / "cgroup.procs") || !fs::create_directory(path_, failed)) continue;
            made_ = true;
            return;
        }
    }
    ~control_group() {
        std::error_code failed;
        if (made_) eventually([&] { return fs::remove(path_, failed) || !fs::exists(path_); });
    }
    control_group(const control_group&) = delete;
    control_group& operator=(const control_group&) = delete;

    /// @return  whether there is such a file, and it takes the text
    [[nodiscard]] bool put(const std::string& file, const std::string& text) const {
        if (!made_ || !fs::exists(path_ / file)) return false;
        std::ofstream to(path_ / file);
        return !!(to << text << std::flush);
    }

private:
    fs::path path_;
    bool made_ = false;
};

}  // namespace snakepit::test
