#pragma once
// What a test can see around it: processes, descriptors, files; and how fast things may be expected to be.

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define SNAKEPIT_TEST_SLOW 3
#else
#define SNAKEPIT_TEST_SLOW 1
#endif

namespace snakepit::test {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

using clock = std::chrono::steady_clock;

/// Sanitizers and a loaded machine make everything slower, but not the code under test wrong.
inline constexpr int slow = SNAKEPIT_TEST_SLOW;

/// A directory of its own, mode 0700, removed at the end.
class temporary_directory {
public:
    temporary_directory();
    ~temporary_directory();
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;
    [[nodiscard]] const fs::path& path() const noexcept { return path_; }
    /// Writes a file, for programs with mode 0755.
    fs::path write(const std::string& name, const std::string& text, bool program = false) const;

private:
    fs::path path_;
};

/// A process, as /proc shows it.
struct process_info {
    int pid = 0;
    int parent = 0;
    char state = '?';
    std::string command;
};
std::ostream& operator<<(std::ostream& to, const process_info& p);

[[nodiscard]] std::vector<process_info> children_of(int pid);
/// Processes whose environment has this entry ("NAME=text"); zombies have none.
[[nodiscard]] std::vector<process_info> processes_with(const std::string& entry);
[[nodiscard]] bool is_alive(int pid);
/// What the descriptors of a process are: number to link ("socket:[123]").
[[nodiscard]] std::map<int, std::string> descriptors_of(int pid);
[[nodiscard]] std::string file_text(const fs::path& file);
/// Lines of a file, none when it is not there.
[[nodiscard]] std::size_t line_count(const fs::path& file);
/// Tests a condition every few milliseconds until it holds; for what happens in other processes.
bool eventually(const std::function<bool()>& holds, clock::duration limit = 5s * slow);

}  // namespace snakepit::test
