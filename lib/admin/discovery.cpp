#include "admin/discovery.hpp"

#include "wire/socket_directory.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <system_error>

namespace snakepit::detail {
namespace {
namespace fs = std::filesystem;

std::vector<fs::path> entries_of(const fs::path& directory) {
    std::vector<fs::path> found;
    std::error_code failed;
    for (fs::directory_iterator at(directory, failed), end; !failed && at != end; at.increment(failed))
        found.push_back(at->path());
    std::ranges::sort(found);
    return found;
}

/// Each once, whatever it is called.
std::vector<fs::path> places(bool of_all_users) {
    std::vector<fs::path> wanted;
    for (const char* name : {"XDG_RUNTIME_DIR", "TMPDIR"})
        if (const char* dir = std::getenv(name); dir && *dir == '/') wanted.emplace_back(dir);
    wanted.emplace_back(fmt::format("/run/user/{}", ::geteuid()));
    if (of_all_users) std::ranges::copy(entries_of("/run/user"), std::back_inserter(wanted));
    wanted.emplace_back("/tmp");
    std::vector<fs::path> found;
    for (const auto& w : wanted) {
        std::error_code failed;
        const auto real = fs::canonical(w, failed);
        if (!failed && std::ranges::find(found, real) == found.end()) found.push_back(real);
    }
    return found;
}

/// @param owner  whose it is to be
bool is_admin_socket(const fs::path& path, uid_t owner) {
    struct stat s{};
    return path.filename().string().ends_with(admin_ending) && ::lstat(path.c_str(), &s) == 0 && S_ISSOCK(s.st_mode) &&
           s.st_uid == owner;
}

}  // namespace

std::vector<found_pool> find_pools(bool of_all_users) {
    std::vector<found_pool> found;
    std::set<std::string> known;
    const auto add = [&](const fs::path& socket, const fs::path& link) {
        if (known.insert(socket.string()).second) found.push_back({socket.string(), link.string()});
    };
    for (const auto& place : places(of_all_users))
        for (const auto& entry : entries_of(place)) {
            struct stat s{};
            if (!entry.filename().string().starts_with(our_prefix) || ::lstat(entry.c_str(), &s) != 0) continue;
            if (s.st_uid != ::geteuid() && !of_all_users) continue;
            if (S_ISDIR(s.st_mode)) {
                for (const auto& inside : entries_of(entry))
                    if (is_admin_socket(inside, s.st_uid)) add(inside, {});
            } else if (S_ISLNK(s.st_mode) && entry.string().ends_with(admin_ending)) {
                std::error_code failed;
                const auto socket = fs::read_symlink(entry, failed);
                if (failed || !socket.is_absolute()) continue;
                // Another user's link leads us to that user's sockets alone.
                if (s.st_uid == ::geteuid() || is_admin_socket(socket, s.st_uid)) add(socket, entry);
            }
        }
    return found;
}

void forget(const found_pool& gone) noexcept {
    struct stat s{};
    if (gone.link.empty() || ::lstat(gone.link.c_str(), &s) != 0 || s.st_uid != ::geteuid()) return;
    ::unlink(gone.link.c_str());
}

void discovery_link::make(const std::string& socket) {
    const fs::path at(socket);
    const fs::path place(default_place());
    const auto directory = at.parent_path();
    if (directory.filename().string().starts_with(our_prefix) && directory.parent_path() == place) return;
    auto link = (place / fmt::format("{}{}", our_prefix, at.filename().string())).string();
    if (::symlink(socket.c_str(), link.c_str()) == 0) path_ = std::move(link);
}

void discovery_link::remove() noexcept {
    if (!path_.empty()) ::unlink(path_.c_str());
    path_.clear();
}

}  // namespace snakepit::detail
