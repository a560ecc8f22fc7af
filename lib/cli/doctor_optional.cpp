#include "cli/doctor_report.hpp"
#include "cli/run_program.hpp"

#include <fmt/format.h>
#include <array>

namespace snakepit::cli {
namespace {

struct package {
    const char* module;
    const char* what_for;
    const char* debian;  ///< null: Debian's release 12 has none that fits
    const char* pypi;
};

constexpr std::array packages{
    package{"numpy", "tools can take and return arrays", "python3-numpy", "numpy"},
    package{"uvloop", "workers of the profile async have a faster loop", "python3-uvloop", "uvloop"},
    package{"opentelemetry", "spans that tools make themselves are part of their call's trace", nullptr,
            "opentelemetry-sdk"},
};

constexpr auto finder =
    "import importlib.util, os, sys, sysconfig\n"
    "for name in sys.argv[1:]: print(name, importlib.util.find_spec(name) is not None)\n"
    "marker = os.path.join(sysconfig.get_path('stdlib'), 'EXTERNALLY-MANAGED')\n"
    "print('managed', sys.prefix == sys.base_prefix and os.path.exists(marker))";

}  // namespace

void examine_optional_packages(const std::string& python, doctor_report& into) {
    constexpr auto limit = std::chrono::seconds(20);
    std::vector<std::string> words{python, "-c", finder};
    for (const auto& p : packages) words.emplace_back(p.module);
    const auto found = run_program(std::move(words), limit);
    auto& facts = into.facts["optional"] = value::object();
    // pip refuses to touch a Python that a distribution looks after: https://peps.python.org/pep-0668/
    const bool is_managed = found.out.find("managed True") != found.out.npos;
    for (const auto& p : packages) {
        const bool there = found.out.find(fmt::format("{} True", p.module)) != found.out.npos;
        facts[p.module] = there;
        if (there) {
            into.add(level::ok, "optional", fmt::format("{} is there", p.module));
            continue;
        }
        const auto by_pip = is_managed
                                ? fmt::format(
                                      "{} -m venv --system-site-packages venv && venv/bin/python -m pip install {} && "
                                      "export SNAKEPIT_PYTHON=$PWD/venv/bin/python",
                                      python, p.pypi)
                                : fmt::format("{} -m pip install {}", python, p.pypi);
        const auto by_apt = p.debian ? fmt::format("sudo apt-get install {}", p.debian) : std::string();
        into.add(level::ok, "optional", fmt::format("{} is not there; with it {}", p.module, p.what_for),
                 p.debian ? fmt::format("install Debian's {}, or run: {}", p.debian, by_pip) : "run: " + by_pip,
                 by_apt.empty() ? by_pip : by_apt);
    }
}

}  // namespace snakepit::cli
