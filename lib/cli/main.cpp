// The `snakepit` command.

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "pool/limits.hpp"
#include "pool/nearest_names.hpp"

#include <snakepit/version.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <exception>
#include <map>
#include <string>
#include <vector>

namespace snakepit::cli {
namespace {

constexpr auto description = "Run Python tools in supervised worker processes.";
constexpr auto examples = R"(
A tool is a function of a Python module with the decorator @snakepit.tool.

examples:
  snakepit call text_tools:count_words '["some text"]'
  snakepit map text_tools:count_words --in lines.txt > counts.jsonl
  snakepit tools text_tools
  snakepit doctor
  snakepit ps

exit codes: 0 all went well; 1 a call failed, or a pool refused; 2 usage, the module or the Python was wrong, or
there was no such pool;
128 + n ended by signal n (130 Ctrl-C, 141 nobody reads the output)
)";

int usage(std::string_view problem, std::string_view hint) {
    complain(problem);
    tell(fmt::format("{}\n", hint));
    return exit_usage;
}

int run(int argc, char** argv) {
    CLI::App app(description, "snakepit");
    app.footer(examples);
    app.set_version_flag(
        "--version",
        fmt::format("snakepit {} (protocol {}.{})", SNAKEPIT_VERSION, detail::protocol_major, detail::protocol_minor),
        "show the version");
    app.set_help_flag("-h,--help", "show this text");
    app.require_subcommand(1);

    std::vector<std::string> names;
    std::map<const CLI::App*, command> commands;
    const auto add = [&](const char* name, const char* what, command (*fill)(CLI::App&)) {
        auto* sub = app.add_subcommand(name, what);
        names.emplace_back(name);
        commands[sub] = fill(*sub);
    };
    add("call", "call one tool and print its result as JSON", add_call);
    add("map", "call a tool for each line of the input, in parallel", add_map);
    add("tools", "list the tools of a module", add_tools);
    add("doctor", "find out whether everything needed is here, and what to do if not", add_doctor);
    add("bench", "how many calls of a tool go through, and how long they take", add_bench);
    add("ps", "list the pools that run on this machine", add_ps);
    add("status", "how a pool is, and what became of its calls", add_status);
    add("workers", "a pool's workers, one by one", add_workers);
    add("top", "watch a pool and its workers", add_top);
    add("stack", "where a worker is: the Python stacks of its threads", add_stack);
    add("drain", "let no more calls in", add_drain);
    add("resume", "let calls in again", add_resume);
    add("recycle", "replace a worker, or all of them, without losing a call", add_recycle);
    add("resize", "change the number of workers", add_resize);
    add("kill", "kill a worker, as a crash would", add_kill);
    add("loglevel", "tell or change what a pool logs", add_loglevel);
    add("events", "what has happened in a pool, or what happens", add_events);
    add("completion", "print a script that completes these commands in a shell", add_completion);

    if (argc < 2) {
        tell(app.help());
        return exit_usage;
    }
    if (const std::string first = argv[1];
        !first.starts_with('-') && std::find(names.begin(), names.end(), first) == names.end())
        return usage(fmt::format("there is no command '{}'; {}", first, detail::nearest_names(first, names)),
                     "Run `snakepit --help` for the commands.");
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& wanted) {  // help or version
        app.exit(wanted);
        return exit_ok;
    } catch (const CLI::ParseError& mistake) {
        const auto chosen = app.get_subcommands();
        return usage(mistake.what(),
                     chosen.empty() ? std::string("Run `snakepit --help` for what there is.")
                                    : fmt::format("Run `snakepit {} --help` for its options.", chosen[0]->get_name()));
    }
    return commands.at(app.get_subcommands().at(0))();
}

/// What is opened later is not to be taken for one of them, where they are closed. Writing to it fails all the same.
void open_standard_streams() {
    int next = 0;
    while (next >= 0 && next <= STDERR_FILENO) next = ::open("/dev/null", O_RDONLY);
    if (next > STDERR_FILENO) ::close(next);
}

}  // namespace
}  // namespace snakepit::cli

int main(int argc, char** argv) {
    // A reader that goes away shows as an error of write().
    std::signal(SIGPIPE, SIG_IGN);
    snakepit::cli::open_standard_streams();
    try {
        return snakepit::cli::run(argc, argv);
    } catch (const std::exception& e) {
        snakepit::cli::complain(e.what());
        return snakepit::cli::exit_failed;
    }
}
