#include "support/surroundings.hpp"

#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

namespace snakepit::test {
namespace {

std::optional<process_info> info_of(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    if (!std::getline(file, line)) return std::nullopt;
    const auto open = line.find('(');
    const auto close = line.rfind(')');
    if (open == line.npos || close == line.npos) return std::nullopt;
    process_info p;
    p.pid = pid;
    std::istringstream rest(line.substr(close + 1));
    rest >> p.state >> p.parent;
    auto command = file_text("/proc/" + std::to_string(pid) + "/cmdline");
    std::replace(command.begin(), command.end(), '\0', ' ');
    p.command = command.empty() ? line.substr(open, close - open + 1) : command;
    return p;
}

template <class F>
std::vector<process_info> processes_where(F wanted) {
    std::vector<process_info> found;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator("/proc", none)) {
        const int pid = std::atoi(entry.path().filename().c_str());
        if (pid <= 0) continue;
        if (auto p = info_of(pid); p && wanted(*p)) found.push_back(std::move(*p));
    }
    return found;
}

}  // namespace

temporary_directory::temporary_directory() {
    std::string name = "/tmp/spt-XXXXXX";
    if (!::mkdtemp(name.data())) throw std::system_error(errno, std::generic_category(), name);
    path_ = name;
}

temporary_directory::~temporary_directory() {
    std::error_code none;
    fs::remove_all(path_, none);
}

fs::path temporary_directory::write(const std::string& name, const std::string& text, bool program) const {
    const auto file = path_ / name;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
    if (program) ::chmod(file.c_str(), 0755);
    return file;
}

std::ostream& operator<<(std::ostream& to, const process_info& p) {
    return to << p.pid << " (parent " << p.parent << ", state " << p.state << "): " << p.command;
}

std::vector<process_info> children_of(int pid) {
    return processes_where([pid](const process_info& p) { return p.parent == pid; });
}

std::vector<process_info> processes_with(const std::string& entry) {
    return processes_where([&](const process_info& p) {
        if (p.pid == ::getpid()) return false;
        const auto all = '\0' + file_text("/proc/" + std::to_string(p.pid) + "/environ") + '\0';
        return all.find('\0' + entry + '\0') != all.npos;
    });
}

bool is_alive(int pid) {
    const auto p = info_of(pid);
    return p && p->state != 'Z' && p->state != 'X';
}

std::map<int, std::string> descriptors_of(int pid) {
    std::map<int, std::string> found;
    std::error_code none;
    const fs::path dir = pid == ::getpid() ? "/proc/self/fd" : "/proc/" + std::to_string(pid) + "/fd";
    for (const auto& entry : fs::directory_iterator(dir, none)) {
        const auto link = fs::read_symlink(entry.path(), none);
        if (!none && link != "/proc/" + std::to_string(::getpid()) + "/fd")
            found[std::atoi(entry.path().filename().c_str())] = link;
    }
    return found;
}

std::string file_text(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();  // never throws: what is below /proc may go while it is read
    return text.str();
}

std::size_t line_count(const fs::path& file) {
    const auto text = file_text(file);
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

bool eventually(const std::function<bool()>& holds, clock::duration limit) {
    for (const auto until = clock::now() + limit; !holds(); std::this_thread::sleep_for(2ms))
        if (clock::now() > until) return false;
    return true;
}

}  // namespace snakepit::test
