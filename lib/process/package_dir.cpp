#include "process/package_dir.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <cstdlib>
#include <filesystem>
#include <vector>

namespace snakepit::detail {
namespace fs = std::filesystem;

result<std::string> package_dir() {
    std::vector<std::string> looked;
    const auto is_package = [&](const fs::path& dir) {
        looked.push_back(dir.string());
        std::error_code none;
        return fs::exists(dir / "_boot.py", none);
    };
    if (const char* given = std::getenv("SNAKEPIT_PYTHON_PACKAGE"); given && *given) {
        if (is_package(given)) return fs::absolute(given).string();
        return tl::unexpected(
            error(errc::python_unfit, fmt::format("SNAKEPIT_PYTHON_PACKAGE is {}, which has no _boot.py", given)));
    }
    Dl_info self{};
    static const char here = 0;
    std::error_code failed;
    if (::dladdr(&here, &self) != 0 && self.dli_fname) {
        // dli_fname of the program itself is argv[0], which may be a bare name.
        auto file = fs::canonical(self.dli_fname, failed);
        if (failed) file = fs::canonical("/proc/self/exe", failed);
        for (const char* installed : {SNAKEPIT_PY_RELATIVE_TO_LIB, SNAKEPIT_PY_RELATIVE_TO_BIN}) {
            const auto there = (file.parent_path() / installed).lexically_normal();
            if (is_package(there)) return there.string();
        }
        // In a build directory.
        auto dir = file.parent_path();
        constexpr int levels = 4;
        for (int i = 0; i < levels && dir.has_relative_path(); ++i, dir = dir.parent_path())
            if (is_package(dir / "py" / "snakepit")) return (dir / "py" / "snakepit").string();
    }
    return tl::unexpected(
        error(errc::python_unfit, fmt::format("the Python package snakepit was not found in {}; install it, or set "
                                              "SNAKEPIT_PYTHON_PACKAGE to its directory",
                                              fmt::join(looked, ", "))));
}

}  // namespace snakepit::detail
