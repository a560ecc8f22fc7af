#include "process/ledger.hpp"

#include "process/pidfd.hpp"
#include "process/process_facts.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

namespace snakepit::detail {
namespace {

constexpr std::string_view title = "snakepit-ledger 1";
constexpr std::string_view ending = ".ledger";
constexpr std::string_view new_ending = ".ledger-new";  // while it is being compacted
constexpr std::size_t least_lines = 256;                // below, compacting is not worth it
constexpr off_t longest = 16 << 20;
constexpr std::time_t youth = 60;  // seconds in which a host may still be about to write its first line

/// Where a pid means what it meant: this boot, this pid namespace.
std::string place() {
    std::string boot(64, '\0');
    const unique_fd file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    const auto got = ::read(file.get(), boot.data(), boot.size());
    boot.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    while (!boot.empty() && boot.back() == '\n') boot.pop_back();
    struct stat space{};
    if (boot.empty() || ::stat("/proc/self/ns/pid", &space) != 0) return "unknown";
    return fmt::format("{}/{}", boot, space.st_ino);
}

bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const auto put = ::write(fd, text.data(), text.size());
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(put));
    }
    return true;
}

error failure(const std::string& file) {
    return {errc::socket_directory,
            fmt::format("{}: cannot keep a ledger of what is started: {}", file, std::strerror(errno))};
}

bool is_ours(const struct stat& s) { return s.st_uid == ::geteuid() && (s.st_mode & (S_IWGRP | S_IWOTH)) == 0; }

bool is_young(const struct stat& s) { return ::time(nullptr) - s.st_mtim.tv_sec < youth; }

/// One file of a directory that is open, locked by us, so that its host is gone and no other start is at it.
class left_ledger {
public:
    /// @return  nothing when its host lives, or another start has it
    static std::optional<left_ledger> take(int directory, const std::string& name) {
        left_ledger l;
        l.fd_ = unique_fd(::openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        struct stat opened{};
        struct stat named{};
        if (!l.fd_ || ::fstat(l.fd_.get(), &opened) != 0 || !S_ISREG(opened.st_mode) || !is_ours(opened)) return {};
        if (::flock(l.fd_.get(), LOCK_EX | LOCK_NB) != 0) return {};
        // Compacted or removed since it was opened?
        if (::fstatat(directory, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) != 0) return {};
        if (named.st_ino != opened.st_ino || named.st_dev != opened.st_dev) return {};
        l.text_.resize(static_cast<std::size_t>(std::min(opened.st_size, longest)));
        const auto got = ::pread(l.fd_.get(), l.text_.data(), l.text_.size(), 0);
        l.text_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        // Its host may be between making it and locking it.
        if (!l.text_.starts_with(title) && is_young(opened)) return {};
        return l;
    }

    void end_processes() const {
        std::istringstream lines(text_.substr(0, text_.rfind('\n') + 1));  // behind it is what was torn
        std::string line;
        if (!std::getline(lines, line) || line != title) return;
        if (!std::getline(lines, line) || line != "place " + place()) return;
        std::set<stray_mark> marks;
        while (std::getline(lines, line)) {
            std::istringstream words(line);
            std::string what;
            int pid = 0;
            std::uint64_t started = 0;
            stray_mark mark = 0;
            if (!(words >> what >> pid >> started) || what == "host") continue;
            end_process(pid, started);
            if (words >> mark) marks.insert(mark);
        }
        end_strays(std::move(marks));
    }

private:
    static void end_process(int pid, std::uint64_t started) {
        if (pid <= 1) return;
        const auto pidfd = open_pidfd(pid);
        if (!pidfd) return;
        // Behind the pidfd: what is read is of the process that it holds, or of one that has come after that one's end.
        struct stat owner{};
        if (::stat(fmt::format("/proc/{}", pid).c_str(), &owner) != 0 || owner.st_uid != ::geteuid()) return;
        if (start_time_of(pid) == started) send_signal(pidfd.get(), SIGKILL);
    }

    unique_fd fd_;
    std::string text_;
};

std::vector<std::string> names_in(int directory) {
    std::vector<std::string> names;
    const unique_fd again(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(::fcntl(again.get(), F_DUPFD_CLOEXEC, 3)), &::closedir);
    if (!list) return names;
    while (const auto* entry = ::readdir(list.get())) names.emplace_back(entry->d_name);
    return names;
}

}  // namespace

result<void> ledger::open(std::string file, std::string own_directory) {
    const std::lock_guard lock(mutex_);
    file_ = std::move(file);
    own_directory_ = std::move(own_directory);
    {
        const fork_pause no_fork;
        fd_ = {unique_fd(::open(file_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)),
               no_fork};
    }
    if (!fd_) return tl::unexpected(failure(file_));
    head_ =
        fmt::format("{}\nplace {}\nhost {} {}\n", title, place(), ::getpid(), start_time_of(::getpid()).value_or(0));
    if (::flock(fd_.get(), LOCK_EX) != 0 || !write_all(fd_.get(), head_)) return tl::unexpected(failure(file_));
    compact_at_ = least_lines;
    return {};
}

void ledger::record(std::string_view what, int pid, int pidfd, stray_mark mark) {
    const std::lock_guard lock(mutex_);
    if (!fd_ || fork_shield::in_child()) return;
    const auto started = start_time_of(pid);
    // Not reaped even now: so what was read was its own, and no stranger's.
    if (!started || !send_signal(pidfd, 0)) return;
    auto line = fmt::format("{} {} {}", what, pid, *started);
    if (mark != 0) line += fmt::format(" {}", mark);
    line += '\n';
    // When the disk is full the pool goes on: a ledger is for the worst case, and the life-lines are there. What is
    // missing is made good as soon as there is room.
    if (!write_all(fd_.get(), line)) compact_at_ = 0;
    entries_.push_back({std::move(line), pid, *started});
    if (entries_.size() >= compact_at_) compact();
}

/// Under the mutex.
void ledger::compact() {
    std::erase_if(entries_, [](const entry& e) { return start_time_of(e.pid) != e.started; });
    compact_at_ = std::max(least_lines, 2 * entries_.size());
    auto text = head_;
    for (const auto& e : entries_) text += e.line;
    const auto beside = file_ + "-new";
    ::unlink(beside.c_str());
    shielded_fd next;
    {
        const fork_pause no_fork;
        next = {unique_fd(::open(beside.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600)), no_fork};
    }
    // Locked and whole before it takes the place of the other, which goes on when this fails.
    if (next && ::flock(next.get(), LOCK_EX) == 0 && write_all(next.get(), text) &&
        ::rename(beside.c_str(), file_.c_str()) == 0)
        return void(fd_ = std::move(next));
    ::unlink(beside.c_str());
    compact_at_ = 0;
}

void ledger::close() noexcept {
    const std::lock_guard lock(mutex_);
    if (!fd_ || fork_shield::in_child()) return;
    ::unlink(file_.c_str());
    if (!own_directory_.empty()) ::rmdir(own_directory_.c_str());
    fd_.reset();
}

void clean_up(const std::string& directory, bool ours) noexcept try {
    const unique_fd open(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    struct stat s{};
    if (!open || ::fstat(open.get(), &s) != 0 || !is_ours(s)) return;
    auto is_empty = true;
    for (const auto& name : names_in(open.get())) {
        if (name == "." || name == "..") continue;
        is_empty = false;
        const auto end = std::string_view(name).substr(std::min(name.find('.'), name.size()));
        if (end != ending && end != new_ending) continue;
        const auto left = left_ledger::take(open.get(), name);
        if (!left) continue;
        if (end == ending) {
            left->end_processes();
            for (const char* socket : {".sock", ".admin"})
                ::unlinkat(open.get(), (name.substr(0, name.find('.')) + socket).c_str(), 0);
        }
        ::unlinkat(open.get(), name.c_str(), 0);  // last: until then the next start would find the rest
        if (ours) ::rmdir(directory.c_str());
    }
    if (ours && is_empty && !is_young(s)) ::rmdir(directory.c_str());
} catch (const std::exception&) {
    return;  // out of memory or descriptors: the next start finds it all still there
}

}  // namespace snakepit::detail
