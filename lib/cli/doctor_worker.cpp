#include "cli/doctor_report.hpp"

#include <fmt/format.h>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace snakepit::cli {
namespace {
namespace fs = std::filesystem;
using clock = std::chrono::steady_clock;

constexpr auto module_name = "snakepit_doctor_trial";
constexpr auto module_text = R"(import snakepit


@snakepit.tool
def echo(value):
    return value
)";

/// A directory with the module of the trial, for as long as it lives.
class trial_directory {
public:
    trial_directory() {
        auto name = (fs::temp_directory_path() / "snakepit-doctor-XXXXXX").string();
        if (!::mkdtemp(name.data()))
            throw fs::filesystem_error("mkdtemp", name, std::error_code(errno, std::generic_category()));
        path_ = name;
        const auto file = path_ / (std::string(module_name) + ".py");
        std::ofstream to(file);
        to << module_text;
        to.close();
        if (to) return;
        const std::error_code why(errno, std::generic_category());
        remove();
        throw fs::filesystem_error("cannot write", file, why);
    }
    trial_directory(const trial_directory&) = delete;
    trial_directory& operator=(const trial_directory&) = delete;
    ~trial_directory() { remove(); }
    [[nodiscard]] const fs::path& path() const noexcept { return path_; }

private:
    void remove() const noexcept {
        std::error_code none;
        fs::remove_all(path_, none);
    }

    fs::path path_;
};

double milliseconds_since(clock::time_point then) {
    return std::chrono::duration<double, std::milli>(clock::now() - then).count();
}

asio::awaitable<int> try_echo(pool& workers, clock::time_point begun, value& facts, doctor_report& into) {
    constexpr auto limit = std::chrono::seconds(10);
    const double start_ms = milliseconds_since(begun);
    facts["started"] = true;
    facts["start_ms"] = start_ms;
    const value sent = {{"text", "\u00e9"}, {"numbers", {1, 2.5}}};
    value arguments = value::array();
    arguments.push_back(sent);
    call_options options;
    options.timeout(limit);
    const auto asked = clock::now();
    std::string tool = "echo";
    auto reply = co_await workers.execute(std::move(tool), std::move(arguments), std::move(options));
    const double call_ms = milliseconds_since(asked);
    if (!reply || *reply != sent) {
        into.add(level::problem, "worker",
                 reply ? std::string("a worker returned something else than it was given") : reply.error().full(),
                 "this should not happen: please report it, with the output of snakepit doctor --json");
        co_return exit_failed;
    }
    facts["answered"] = true;
    facts["call_ms"] = call_ms;
    into.add(
        level::ok, "worker",
        fmt::format("a worker was ready after {:.0f} ms and answered its first call in {:.2f} ms", start_ms, call_ms));
    const auto stats = workers.stats();
    const auto lane = stats.workers.empty() ? std::string() : stats.workers.front().lane;
    facts["lane"] = lane;
    if (lane == "iterator")
        into.add(level::warning, "worker",
                 "it uses grpcio's public stream iterator, since the faster direct lane does not "
                 "work with this grpcio: calls take about twice as long",
                 "use Debian's python3-grpcio, or another release of grpcio", "sudo apt-get install python3-grpcio");
    else into.add(level::ok, "worker", fmt::format("lane: {}", lane));
    const bool forks = stats.start_method == start_method::fork;
    facts["start_method"] = forks ? "fork" : "spawn";
    if (forks) into.add(level::ok, "worker", "workers are forked");
    else
        into.add(level::warning, "worker",
                 "workers cannot be forked, and take longer to start: " + stats.start_method_reason,
                 "use Debian's python3-grpcio, or another release of grpcio", "sudo apt-get install python3-grpcio");
    co_return exit_ok;
}

}  // namespace

int examine_worker(const common_options& common, doctor_report& into) {
    value facts = {{"started", false},   {"answered", false}, {"start_ms", nullptr},
                   {"call_ms", nullptr}, {"lane", nullptr},   {"start_method", nullptr}};
    int code = exit_failed;
    try {
        const trial_directory trial;
        auto options = make_brief_pool_options(common, module_name);
        options.python_path = {trial.path().string()};
        options.log.level = log_level::error;  // warnings are findings
        const auto begun = clock::now();
        code = with_pool(
            std::move(options), [&](pool& workers) { return try_echo(workers, begun, facts, into); },
            [&](const error& why) {
                into.add(level::problem, "worker", "no worker could be started: " + why.full(),
                         "see the other findings; a longer --start-timeout helps where starting is only slow",
                         "snakepit doctor --start-timeout 120");
            });
    } catch (const fs::filesystem_error& e) {
        into.add(level::problem, "worker", fmt::format("no directory with a module for a trial: {}", e.what()),
                 "set TMPDIR to a directory that can be written to, on a disk that is not full",
                 "df -h /tmp && install -d -m 700 ~/tmp && export TMPDIR=~/tmp");
    }
    into.facts["worker"] = std::move(facts);
    return code > exit_signalled ? code : exit_ok;
}

}  // namespace snakepit::cli
