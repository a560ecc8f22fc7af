#include "stress/chaos/work_checker.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>

namespace snakepit::chaos {
namespace {

using kind = journal_line::kind;

class inquiry {
public:
    explicit inquiry(const work_rules& by) : by_(by) {}

    std::vector<violation> all(const journal& of, const moment_of_rest& rest) {
        std::size_t lines = 0;
        for (const auto& line : of) {
            if (lines++ == rest.lines) look_at_rest(rest);
            look_at(line);
        }
        if (lines <= rest.lines) look_at_rest(rest);
        return std::move(found_);
    }

private:
    using run = std::vector<std::uint64_t>;

    void blame(fault what, int process, const run& calls, std::string_view words) {
        found_.push_back(
            {what, calls.front(), fmt::format("[{}] in process {}: {}", fmt::join(calls, " "), process, words)});
    }

    void look_at_rest(const moment_of_rest& rest) {
        for (const auto process : rest.idle)
            for (const auto& calls : open_[process])
                blame(fault::never_left, process, calls, "the process is idle, and its tool has not been left");
    }

    void look_at(const journal_line& line) {
        auto& open = open_[line.process];
        if (line.what == kind::born) {
            open.clear();
        } else if (line.what == kind::left) {
            if (const auto it = open.find(line.calls); it != open.end()) open.erase(it);
        } else if (line.what == kind::begun) {
            if (open.size() >= by_.at_once)
                blame(fault::too_many_at_once, line.process, line.calls, fmt::format("beside {}", open));
            open.insert(line.calls);
            if (line.calls.size() > by_.max_batch)
                blame(fault::batch_too_large, line.process, line.calls, fmt::format("{} calls", line.calls.size()));
        }
    }

    const work_rules& by_;
    std::map<int, std::multiset<run>> open_;  // by process
    std::vector<violation> found_;
};

}  // namespace

std::vector<violation> check_work(const journal& of, const moment_of_rest& rest, const work_rules& by) {
    return inquiry(by).all(of, rest);
}

}  // namespace snakepit::chaos
