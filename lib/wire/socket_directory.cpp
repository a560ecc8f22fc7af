#include "wire/socket_directory.hpp"

#include "process/ledger.hpp"
#include "wire/token.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace snakepit::detail {
namespace {
namespace fs = std::filesystem;

constexpr std::size_t longest_path = sizeof(sockaddr_un::sun_path) - 1;

error refusal(const std::string& directory, const std::string& why) {
    return {errc::socket_directory, fmt::format("{}: {}", directory, why)};
}

/// Who may write to a directory may rename what is in it, unless it is sticky.
/// @param directory  without symbolic links above it: those would hide directories from the check
result<void> check_above(const std::string& directory) {
    for (auto above = fs::path(directory).parent_path(); !above.empty(); above = above.parent_path()) {
        struct stat s{};
        if (::stat(above.c_str(), &s) != 0) return tl::unexpected(refusal(directory, std::strerror(errno)));
        const bool others_write = (s.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (s.st_mode & S_ISVTX) == 0;
        if (others_write || (s.st_uid != 0 && s.st_uid != ::geteuid()))
            return tl::unexpected(refusal(directory, fmt::format("others can replace it, since {} is theirs to write; "
                                                                 "choose a directory of your own",
                                                                 above.string())));
        if (above == above.root_path()) break;
    }
    return {};
}

result<void> check_private(const std::string& directory) {
    struct stat s{};
    if (::lstat(directory.c_str(), &s) != 0) return tl::unexpected(refusal(directory, std::strerror(errno)));
    if (S_ISLNK(s.st_mode)) return tl::unexpected(refusal(directory, "is a symbolic link; name the directory itself"));
    if (!S_ISDIR(s.st_mode)) return tl::unexpected(refusal(directory, "is not a directory"));
    if (s.st_uid != ::geteuid()) return tl::unexpected(refusal(directory, "belongs to another user"));
    if ((s.st_mode & 077) != 0)
        return tl::unexpected(refusal(directory, fmt::format("its mode is {:04o}, so others may enter; chmod 0700 it",
                                                             static_cast<unsigned>(s.st_mode & 07777))));
    return check_above(directory);
}

bool is_our_dangling_link(const fs::path& path) {
    struct stat link{};
    struct stat target{};
    return ::lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode) && link.st_uid == ::geteuid() &&
           ::stat(path.c_str(), &target) != 0 && errno == ENOENT;
}

}  // namespace

/// $XDG_RUNTIME_DIR may be another user's, under su and sudo.
std::string default_place() {
    for (const char* name : {"XDG_RUNTIME_DIR", "TMPDIR"}) {
        const char* dir = std::getenv(name);
        struct stat s{};
        if (!dir || *dir != '/' || ::access(dir, W_OK | X_OK) != 0 || ::stat(dir, &s) != 0) continue;
        if (s.st_uid == ::geteuid() || s.st_uid == 0) return fs::path(dir).lexically_normal().string();
    }
    return "/tmp";
}

result<socket_directory> socket_directory::make(const std::string& wanted) {
    std::error_code failed;
    std::string directory;
    bool created = true;
    if (wanted.empty()) {
        directory = fmt::format("{}/{}XXXXXX", default_place(), our_prefix);
        if (!::mkdtemp(directory.data())) return tl::unexpected(refusal(directory, std::strerror(errno)));
    } else {
        auto named = fs::absolute(wanted, failed).lexically_normal();
        if (!failed && !named.has_filename()) named = named.parent_path();  // a slash at the end
        const auto above = failed ? fs::path() : fs::canonical(named.parent_path(), failed);
        if (failed) return tl::unexpected(refusal(wanted, failed.message()));
        directory = (above / named.filename()).string();
        created = ::mkdir(directory.c_str(), 0700) == 0;
        if (!created && errno != EEXIST) return tl::unexpected(refusal(directory, std::strerror(errno)));
    }
    // One name per pool, so that several may share a directory.
    auto socket = fmt::format("{}/{}.sock", directory, token::random().hex().substr(0, 12));
    socket_directory made(directory, socket, created);  // refused below, it goes again
    if (const auto longest = made.admin_path().size(); longest > longest_path)
        return tl::unexpected(refusal(directory, fmt::format("the socket's path would have {} bytes, the system allows "
                                                             "{}; choose a shorter directory",
                                                             longest, longest_path)));
    if (auto fit = check_private(directory); !fit) return tl::unexpected(fit.error());
    made.ours_ = wanted.empty();
    return made;
}

std::string socket_directory::admin_path() const { return fs::path(socket_).replace_extension(admin_ending).string(); }

std::string socket_directory::ledger_path() const { return fs::path(socket_).replace_extension(".ledger").string(); }

void socket_directory::clean_up_others() const {
    if (!ours_) clean_up(directory_, false);
    std::error_code failed;
    for (fs::directory_iterator at(default_place(), failed), end; !failed && at != end; at.increment(failed)) {
        if (!at->path().filename().string().starts_with(our_prefix)) continue;
        if (is_our_dangling_link(at->path())) ::unlink(at->path().c_str());
        else clean_up(at->path().string(), true);
    }
}

socket_directory::socket_directory(std::string directory, std::string socket, bool ours)
    : directory_(std::move(directory)), socket_(std::move(socket)), ours_(ours) {}
socket_directory::socket_directory(socket_directory&& other) noexcept
    : directory_(std::exchange(other.directory_, {})),
      socket_(std::exchange(other.socket_, {})),
      ours_(std::exchange(other.ours_, false)) {}
socket_directory& socket_directory::operator=(socket_directory&& other) noexcept {
    std::swap(directory_, other.directory_);
    std::swap(socket_, other.socket_);
    std::swap(ours_, other.ours_);
    return *this;
}
socket_directory::~socket_directory() {
    if (!socket_.empty()) ::unlink(socket_.c_str());
    if (ours_) ::rmdir(directory_.c_str());
}

}  // namespace snakepit::detail
