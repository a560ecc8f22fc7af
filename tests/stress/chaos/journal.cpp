#include "stress/chaos/journal.hpp"

#include <array>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace snakepit::chaos {
namespace {

using kind = journal_line::kind;

bool parse(const std::string& text, journal_line& to) {
    std::istringstream in(text);
    std::string what;
    if (!(in >> what >> to.process)) return false;
    for (std::uint64_t call = 0; in >> call;) to.calls.push_back(call);
    if (!in.eof()) return false;
    constexpr std::array<std::string_view, 4> kinds = {"born", "begun", "done", "left"};
    for (std::size_t i = 0; i < kinds.size(); ++i) {
        if (what != kinds[i]) continue;
        to.what = static_cast<kind>(i);
        return to.calls.empty() == (to.what == kind::born);
    }
    return false;
}

}  // namespace

journal read_journal(const std::filesystem::path& file) {
    journal all;
    std::ifstream in(file);
    for (std::string text; std::getline(in, text);)
        if (!parse(text, all.emplace_back()))
            throw std::runtime_error("a line of " + file.string() + " is broken: " + text);
    return all;
}

std::map<std::uint64_t, marks> marks_of(const journal& all) {
    std::map<std::uint64_t, marks> found;
    for (const auto& line : all) {
        for (const auto call : line.calls) {
            if (line.what == kind::begun) ++found[call].begun;
            if (line.what == kind::done) ++found[call].done;
        }
    }
    return found;
}

}  // namespace snakepit::chaos
