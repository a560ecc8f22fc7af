#include "stress/chaos/leftovers.hpp"

#include "support/surroundings.hpp"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <unistd.h>
#include <sstream>

template <>
struct fmt::formatter<snakepit::test::process_info> : fmt::ostream_formatter {};

namespace snakepit::chaos {
namespace {

namespace fs = std::filesystem;

/// Memory that has a name, as /proc/self/maps shows it: "/memfd:name (deleted)", "/dev/shm/name".
std::multiset<std::string> shared_mappings() {
    std::multiset<std::string> found;
    std::istringstream maps(test::file_text("/proc/self/maps"));
    for (std::string line; std::getline(maps, line);)
        for (const auto* kind : {"/memfd:", "/dev/shm/"})
            if (const auto at = line.find(kind); at != line.npos) found.insert(line.substr(at));
    return found;
}

}  // namespace

possessions::possessions(std::string marker, fs::path runtime)
    : marker_(std::move(marker)),
      runtime_(std::move(runtime)),
      descriptors_(test::descriptors_of(::getpid())),
      mappings_(shared_mappings()),
      files_(files()) {}

std::set<std::string> possessions::files() const {
    std::set<std::string> found;
    std::error_code none;
    for (const auto& entry : fs::recursive_directory_iterator(runtime_, none)) found.insert(entry.path().string());
    // Everybody's: others may come and go.
    for (const auto& entry : fs::directory_iterator("/dev/shm", none))
        if (entry.path().filename().string().find("snakepit") != std::string::npos) found.insert(entry.path().string());
    return found;
}

std::vector<std::string> possessions::left() const {
    std::vector<std::string> found;
    for (const auto& p : test::children_of(::getpid())) found.push_back(fmt::format("child {}", p));
    for (const auto& p : test::processes_with(marker_)) found.push_back(fmt::format("process {}", p));
    for (const auto& [fd, link] : test::descriptors_of(::getpid()))
        if (const auto it = descriptors_.find(fd); it == descriptors_.end() || it->second != link)
            found.push_back(fmt::format("descriptor {}: {}", fd, link));
    auto known = mappings_;
    for (const auto& m : shared_mappings()) {
        if (const auto it = known.find(m); it != known.end()) known.erase(it);
        else found.push_back("mapping " + m);
    }
    for (const auto& f : files())
        if (files_.count(f) == 0) found.push_back("file " + f);
    return found;
}

std::vector<std::string> zombies_of(int parent) {
    std::vector<std::string> found;
    for (const auto& p : test::children_of(parent))
        if (p.state == 'Z') found.push_back(fmt::format("zombie {}", p));
    return found;
}

}  // namespace snakepit::chaos
