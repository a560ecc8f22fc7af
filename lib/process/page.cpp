#include "process/page.hpp"

#include "value/utf8.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace snakepit::detail {
namespace {

constexpr std::size_t begun_word = 0;
constexpr std::size_t done_word = 1;
constexpr std::size_t started_word = 2;
constexpr std::size_t first_index_word = 8;
constexpr std::size_t index_words = 4096;
constexpr std::size_t log_offset = 8 * (first_index_word + index_words);
constexpr std::size_t log_bytes = (std::size_t{272} << 10) - 8 * first_index_word;  // all of it: 80 pages of memory
constexpr std::size_t revoked_offset = log_offset + log_bytes;
constexpr std::size_t revoked_words = index_words;
constexpr std::size_t first_place_word = revoked_offset / 8 + revoked_words;
constexpr std::size_t places = index_words;  // of two words each
constexpr std::size_t stack_offset = 8 * (first_place_word + 2 * places);
constexpr std::size_t stack_bytes = std::size_t{256} << 10;  // takes memory where it was written
constexpr std::size_t page_bytes = stack_offset + stack_bytes;
constexpr std::uint64_t largest_reply = std::uint64_t{4} << 10;

/// What the index says about one reply.
struct entry {
    std::uint64_t position = 0;  // as if the log had no end
    bool failed = false;
    std::uint64_t size = 0;

    explicit entry(std::uint64_t word)
        : position((word >> 16) * 8), failed((word >> 15 & 1) != 0), size(word & ((1u << 15) - 1)) {}
    [[nodiscard]] bool is_possible() const noexcept {
        return size <= largest_reply && position % log_bytes + size <= log_bytes;
    }
};

}  // namespace

result<page> page::make() {
    const auto failed = [](const char* what) {
        return tl::unexpected(
            error(errc::launch_failed,
                  fmt::format("cannot make a page to share with a worker: {}: {}", what, std::strerror(errno))));
    };
    unique_fd made(::memfd_create("snakepit-page", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!made) return failed("memfd_create");
    if (::ftruncate(made.get(), page_bytes) != 0) return failed("ftruncate");
    if (::fcntl(made.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return failed("fcntl");
    // Where faulthandler writes to: the offset goes along with the descriptor.
    if (::lseek(made.get(), stack_offset, SEEK_SET) < 0) return failed("lseek");
    void* const memory = ::mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, made.get(), 0);
    if (memory == MAP_FAILED) return failed("mmap");
    const auto unmap = [](std::byte* mapped) { ::munmap(mapped, page_bytes); };
    return page(std::move(made), std::shared_ptr<std::byte>(static_cast<std::byte*>(memory), unmap));
}

/// The id, not a flag: the word of a call is also that of the one that is sent 4,096 later, and is never cleared. It
/// only grows, or what is left of an old call could take back what was said about a new one.
void page::revocations::add(std::uint64_t call) const noexcept {
    auto* const words = reinterpret_cast<std::uint64_t*>(memory_.get() + revoked_offset);
    const std::atomic_ref<std::uint64_t> word(words[call % revoked_words]);
    auto last = word.load(std::memory_order_relaxed);
    while (last < call && !word.compare_exchange_weak(last, call)) {
    }
}

std::uint64_t page::word(std::size_t index) const noexcept {
    std::uint64_t found = 0;
    std::memcpy(&found, memory_.get() + 8 * index, sizeof found);
    return found;
}

std::uint64_t page::begun() const noexcept { return word(begun_word); }

std::chrono::steady_clock::time_point page::time_at(std::size_t index) const noexcept {
    double seconds = 0;
    std::memcpy(&seconds, memory_.get() + 8 * index, sizeof seconds);
    const auto now = std::chrono::steady_clock::now();
    // Compared as numbers first: anything can be written there, and not everything can be converted.
    const auto seconds_now = std::chrono::duration<double>(now.time_since_epoch()).count();
    return seconds > 0 && seconds < seconds_now
               ? std::chrono::steady_clock::time_point(
                     std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds)))
               : now;
}

std::optional<page::progress> page::read_progress(std::uint64_t last_sent, bool several, int at_once) const {
    progress found{word(begun_word), several ? 0 : word(done_word), {}};
    if (found.begun > last_sent) return std::nullopt;
    if (!several) {
        if (found.done > found.begun || found.begun - found.done > static_cast<std::uint64_t>(at_once))
            return std::nullopt;
        found.started = time_at(started_word);
        return found;
    }
    auto& running = found.running.emplace();
    for (std::size_t i = 0; i < places; ++i) {
        const auto at = first_place_word + 2 * i;
        // One that it was about to begin is there already.
        if (const auto id = word(at); id != 0 && id <= found.begun)
            running.push_back({id, time_at(at + 1), word(at + 1) == 0});
    }
    std::sort(running.begin(), running.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    return found;
}

std::vector<page::at_work> page::read_at_work(bool several) const {
    std::vector<at_work> found;
    if (!several) {
        if (const auto done = word(done_word); done < begun()) found.push_back({done + 1, time_at(started_word)});
        return found;
    }
    for (std::size_t i = 0; i < places; ++i) {
        const auto at = first_place_word + 2 * i;
        if (const auto id = word(at); id != 0 && word(at + 1) != 0) found.push_back({id, time_at(at + 1)});
    }
    return found;
}

std::vector<std::uint64_t> page::read_running() const {
    std::vector<std::uint64_t> ids;
    for (std::size_t i = 0; i < places; ++i)
        if (const auto id = word(first_place_word + 2 * i); id != 0) ids.push_back(id);
    return ids;
}

/// Whatever it ran last: a reply may have been kept just before its place was free.
std::optional<page::reply> page::reply_of_several(std::uint64_t id, const progress& at) const {
    if (id > at.begun) return std::nullopt;
    const auto said = word(first_index_word + id % index_words);
    const entry found(said);
    constexpr std::uint64_t head = 8;
    if (said == 0 || !found.is_possible() || found.position % log_bytes + head + found.size > log_bytes)
        return std::nullopt;
    std::uint64_t end = 0;
    for (std::size_t i = 0; i < index_words; ++i) {
        const entry e(word(first_index_word + i));
        end = std::max(end, e.position + head + e.size);
    }
    constexpr auto unfinished = 2 * (largest_reply + head + 8);
    if (end - found.position > log_bytes - unfinished) return std::nullopt;
    const auto position = log_offset + found.position % log_bytes;
    if (word(position / 8) != id) return std::nullopt;
    return reply{found.failed, std::string(reinterpret_cast<const char*>(memory_.get()) + position + head, found.size)};
}

std::optional<page::reply> page::reply_to(std::uint64_t id, const progress& at) const {
    if (at.running) return reply_of_several(id, at);
    // The word of a call is also that of the one that is begun 4,096 later.
    if (id > at.done || at.begun - id >= index_words) return std::nullopt;
    const auto said = word(first_index_word + id % index_words);
    const entry found(said);
    if (said == 0 || !found.is_possible()) return std::nullopt;
    // The log is a ring: what came later may lie on top of it, and so may a reply that was being written.
    std::uint64_t end = 0;
    for (auto later = id; later <= at.done; ++later) {
        const entry e(word(first_index_word + later % index_words));
        end = std::max(end, e.position + e.size);
    }
    constexpr auto unfinished = 2 * (largest_reply + 8);  // left free before the ring's end, and written at its start
    if (end - found.position > log_bytes - unfinished) return std::nullopt;
    const auto* const from = reinterpret_cast<const char*>(memory_.get()) + log_offset + found.position % log_bytes;
    return reply{found.failed, std::string(from, found.size)};
}

std::string page::python_stack() const {
    const auto* const from = reinterpret_cast<const char*>(memory_.get()) + stack_offset;
    const std::string text(from, ::strnlen(from, stack_bytes));
    const auto begin = text.find_first_not_of('\n');  // behind what was taken
    return begin != text.npos && is_utf8(text) ? text.substr(begin) : std::string();
}

bool page::has_room_for_stack() const noexcept {
    const auto* const from = reinterpret_cast<const char*>(memory_.get()) + stack_offset;
    return ::strnlen(from, stack_bytes) < stack_bytes / 2;
}

std::string page::take_stack() const {
    auto text = python_stack();
    auto* const from = reinterpret_cast<char*>(memory_.get()) + stack_offset;
    std::fill_n(from, ::strnlen(from, stack_bytes), '\n');  // its writer goes on behind it
    return text;
}

}  // namespace snakepit::detail
