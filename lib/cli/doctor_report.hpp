#pragma once
// What `snakepit doctor` finds out.

#include "cli/common.hpp"

#include <snakepit/value.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit::cli {

enum class level { ok, warning, problem };

struct finding {
    level how_bad = level::ok;
    std::string subject;  ///< "python", "limits"
    std::string text;
    std::string remedy;  ///< what to do; may be empty when all is well
    std::string fix{};   ///< a line for a shell that does it; empty: there is no such line
};

struct doctor_report {
    value facts = value::object();  ///< by subject, for programs
    std::vector<finding> findings;

    void add(level how_bad, std::string_view subject, std::string text, std::string remedy = {}, std::string fix = {}) {
        findings.push_back({how_bad, std::string(subject), std::move(text), std::move(remedy), std::move(fix)});
    }
};

/// Which Pythons there are, and which one the workers would run. @return  its path, or nothing
std::optional<std::string> examine_pythons(const common_options& common, doctor_report& into);
/// Processors, memory, limits, the socket's directory.
void examine_system(doctor_report& into);
/// What the kernel has to have: pidfds and memfds.
void examine_kernel(doctor_report& into);
/// Whether what the variables OTEL_... say makes sense, and can be reached: as a pool reads them.
void examine_telemetry(doctor_report& into);
/// Packages without which something else does. @param python  the one that was chosen
void examine_optional_packages(const std::string& python, doctor_report& into);
/// Whether a real worker starts and answers. @return  exit_ok, or 128 + number of the signal that interrupted it
int examine_worker(const common_options& common, doctor_report& into);

}  // namespace snakepit::cli
