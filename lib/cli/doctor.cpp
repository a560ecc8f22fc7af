// snakepit doctor

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/doctor_report.hpp"
#include "pool/limits.hpp"

#include <snakepit/version.hpp>

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

namespace snakepit::cli {
namespace {

struct doctor_arguments {
    common_options common;
    bool json = false;
    bool fix_hints = false;
};

std::string_view name_of(level l) {
    switch (l) {
        case level::ok: return "ok";
        case level::warning: return "warning";
        case level::problem: return "problem";
    }
    return "unknown";
}

std::size_t count(const doctor_report& report, level l) {
    return static_cast<std::size_t>(std::count_if(report.findings.begin(), report.findings.end(),
                                                  [l](const finding& f) { return f.how_bad == l; }));
}

value json_of(const doctor_report& report, bool usable, bool fix_hints) {
    value findings = value::array();
    for (const auto& f : report.findings) {
        findings.push_back(
            {{"level", name_of(f.how_bad)}, {"subject", f.subject}, {"text", f.text}, {"remedy", f.remedy}});
        if (fix_hints) findings.back()["fix"] = f.fix;
    }
    value all = report.facts;
    all["usable"] = usable;
    all["findings"] = std::move(findings);
    return all;
}

/// Text behind a hanging indent.
std::string indented(std::string text, std::size_t by) {
    for (auto at = text.find('\n'); at != text.npos; at = text.find('\n', at + 1)) text.insert(at + 1, by, ' ');
    return text;
}

std::string text_of(const doctor_report& report, bool usable, bool fix_hints) {
    constexpr std::size_t columns = 19;
    std::string text;
    for (const auto& f : report.findings) {
        text += fmt::format("{:<8} {:<9} {}\n", name_of(f.how_bad), f.subject, indented(f.text, columns));
        if (!f.remedy.empty()) text += fmt::format("{:{}}-> {}\n", "", columns, indented(f.remedy, columns + 3));
        if (fix_hints && !f.fix.empty()) text += fmt::format("{:{}}$  {}\n", "", columns, f.fix);
    }
    const auto warnings = count(report, level::warning);
    text += fmt::format("\n{}; {} problem{}, {} warning{}", usable ? "snakepit can be used" : "snakepit cannot be used",
                        count(report, level::problem), count(report, level::problem) == 1 ? "" : "s", warnings,
                        warnings == 1 ? "" : "s");
    return text;
}

int run(const doctor_arguments& given) {
    doctor_report report;
    report.facts["version"] = SNAKEPIT_VERSION;
    report.facts["protocol"] = fmt::format("{}.{}", detail::protocol_major, detail::protocol_minor);
    report.add(
        level::ok, "snakepit",
        fmt::format("version {}, protocol {}.{}", SNAKEPIT_VERSION, detail::protocol_major, detail::protocol_minor));
    const auto python = examine_pythons(given.common, report);
    examine_system(report);
    examine_kernel(report);
    examine_telemetry(report);
    report.facts["optional"] = nullptr;
    if (python) {
        examine_optional_packages(*python, report);
        if (const int ended = examine_worker(given.common, report); ended != exit_ok) return ended;
    } else {
        report.facts["worker"] = nullptr;
    }
    const bool usable = count(report, level::problem) == 0;
    constexpr int indent = 2;
    const int printed = print_line(
        given.json ? json_of(report, usable, given.fix_hints).dump(indent, ' ', false, value::error_handler_t::replace)
                   : text_of(report, usable, given.fix_hints));
    return printed != exit_ok ? printed : usable ? exit_ok : exit_failed;
}

}  // namespace

command add_doctor(CLI::App& to) {
    auto given = std::make_shared<doctor_arguments>();
    to.footer("\nexit codes: 0 snakepit can be used; 1 it cannot; what to do is said behind each finding\n");
    to.add_flag("--json", given->json, "print everything as JSON, for programs");
    to.add_flag("--fix-hints", given->fix_hints, "also a line to type, where one puts it right");
    add_pool_options(to, given->common);
    return [given] { return run(*given); };
}

}  // namespace snakepit::cli
