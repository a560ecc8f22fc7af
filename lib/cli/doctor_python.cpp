#include "cli/doctor_report.hpp"
#include "cli/run_program.hpp"
#include "process/package_dir.hpp"
#include "process/python_candidates.hpp"

#include <fmt/format.h>
#include <cstdlib>
#include <filesystem>

namespace snakepit::cli {
namespace {

constexpr auto packages =
    "install Debian's python3-grpcio, python3-protobuf and python3-msgpack, or name another "
    "Python with --python or SNAKEPIT_PYTHON";

constexpr auto install_packages = "sudo apt-get install python3-grpcio python3-protobuf python3-msgpack";

/// A line for a shell that gives this Python what it lacks.
std::string install_for(const std::string& python) {
    std::error_code none;
    const bool is_debians = std::filesystem::weakly_canonical(python, none).parent_path() == "/usr/bin";
    return is_debians ? install_packages : fmt::format("{} -m pip install grpcio protobuf msgpack", python);
}

struct probed {
    bool fit = false;
    std::string reason;
    value about = value::object();  // what it says of itself
};

std::string last_line(std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    const auto at = text.rfind('\n');
    return at == text.npos ? text : text.substr(at + 1);
}

probed probe(const std::string& python, const std::string& package) {
    constexpr auto limit = std::chrono::seconds(20);
    const auto end = run_program({python, package + "/_boot.py", "probe"}, limit);
    probed found;
    const auto said = value::parse(end.out, nullptr, false);
    if (said.is_object() && said.contains("ready") && said["ready"].is_object()) {
        found.fit = true;
        found.about = said["ready"];
    } else if (said.is_object() && said.contains("unfit") && said["unfit"].is_object()) {
        found.about = said["unfit"];
        if (const auto reason = found.about.find("reason"); reason != found.about.end() && reason->is_string())
            found.reason = reason->get<std::string>();
        found.about.erase("reason");
    } else {
        found.reason = end.problem.empty() ? "it is no Python: its answer cannot be understood" : end.problem;
        if (const auto line = last_line(end.err); !line.empty()) found.reason += "; it said: " + line;
    }
    return found;
}

std::string text_of(const value& about, const char* key, const char* otherwise = "?") {
    const auto at = about.find(key);
    return at != about.end() && at->is_string() ? at->get<std::string>() : otherwise;
}

void add_versions(const value& about, doctor_report& into) {
    const auto implementation = text_of(about, "protobuf_implementation");
    into.add(level::ok, "versions",
             fmt::format("Python {}, grpcio {}, protobuf {} ({}), msgpack {}, numpy {}", text_of(about, "python"),
                         text_of(about, "grpc"), text_of(about, "protobuf"), implementation, text_of(about, "msgpack"),
                         text_of(about, "numpy", "none")));
    if (implementation == "python")
        into.add(
            level::warning, "versions",
            "this protobuf is the implementation in pure Python: calls take many times longer",
            "unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION if it is set; else install Debian's python3-protobuf, or "
            "a wheel: pip install --force-reinstall protobuf",
            std::getenv("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION") ? "unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"
                                                                  : "sudo apt-get install python3-protobuf");
}

}  // namespace

std::optional<std::string> examine_pythons(const common_options& common, doctor_report& into) {
    auto& list = into.facts["pythons"] = value::array();
    into.facts["python"] = nullptr;
    into.facts["package_dir"] = nullptr;
    const auto package = detail::package_dir();
    if (!package) {
        into.add(level::problem, "package", package.error().message(),
                 "install snakepit anew, or set SNAKEPIT_PYTHON_PACKAGE to the directory of its Python package",
                 std::getenv("SNAKEPIT_PYTHON_PACKAGE") ? "unset SNAKEPIT_PYTHON_PACKAGE" : "");
        return std::nullopt;
    }
    into.facts["package_dir"] = *package;
    into.add(level::ok, "package", fmt::format("the Python package is {}", *package));

    std::optional<std::string> chosen;
    for (const auto& c : detail::python_candidates(common.python)) {
        const auto origin = common.python.empty() ? c.origin : std::string("--python");
        const auto name = fmt::format("{} ({})", c.path, origin);
        value about = {{"path", c.path}, {"origin", origin}, {"exists", c.exists}, {"fit", false}, {"chosen", false}};
        probed found;
        found.reason = "there is no such program";
        if (c.exists) found = probe(c.path, *package);
        about["fit"] = found.fit;
        about["reason"] = found.fit ? value(nullptr) : value(found.reason);
        for (const auto& [key, item] : found.about.items()) about[key] = item;
        if (found.fit && !chosen) {
            chosen = c.path;
            about["chosen"] = true;
            into.facts["python"] = c.path;
            into.add(level::ok, "python", fmt::format("{}: chosen, the first that can run workers", name));
            add_versions(found.about, into);
        } else if (found.fit) {
            about["reason"] = "one before it can run workers";
            into.add(level::ok, "python", fmt::format("{}: not chosen, since one before it can run workers", name));
        } else {
            const bool asked_for = origin == "--python" || origin.starts_with('$');
            const auto cut = found.reason.find("; install ");
            into.add(asked_for || c.exists ? level::warning : level::ok, "python",
                     fmt::format("{}: not chosen: {}", name, found.reason.substr(0, cut)),
                     cut != found.reason.npos ? found.reason.substr(cut + 2)
                     : asked_for              ? fmt::format("correct {}, or leave it out", origin)
                     : c.exists ? "put another Python before it on PATH, or name one with --python or SNAKEPIT_PYTHON"
                                : std::string(),
                     origin == "$SNAKEPIT_PYTHON" ? "unset SNAKEPIT_PYTHON"
                     : cut != found.reason.npos   ? install_for(c.path)
                                                  : "");
        }
        list.push_back(std::move(about));
    }
    if (!chosen) into.add(level::problem, "python", "no Python here can run workers", packages, install_packages);
    return chosen;
}

}  // namespace snakepit::cli
