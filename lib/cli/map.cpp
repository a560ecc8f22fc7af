// snakepit map MODULE:TOOL

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/map_run.hpp"
#include "pool/nearest_names.hpp"
#include "process/unique_fd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/stat.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace snakepit::cli {
namespace {

struct map_arguments {
    common_options common;
    std::string tool;
    std::string in = "-";
    int workers = 0;
    bool unordered = false;
    bool text = false;
    bool json = false;
    bool fail_fast = false;
    bool quiet = false;
};

constexpr auto map_footer = R"(
Each line of the input is one argument of one call: the JSON value it holds, or, when it is not JSON, its text. --text
takes every line for text, --json for JSON. Lines end with a newline, which is not part of them; anything else, such as
a carriage return, is. They are UTF-8.

For each line one line is written, in the order of the input: the result as JSON, or what went wrong, such as
  {"error":{"code":"tool_raised","message":"empty","type":"ValueError"},"line":3}
A line that fails does not stop the others. A tool that is slow on one line does not hold up the others either, as far
as 16,384 lines or 32 MiB of results, which wait for their turn. No more of the input is read than is needed for that.

exit codes: 0 all lines went well; 1 some failed; 2 usage, the module or the Python was wrong; 130 Ctrl-C; 143 SIGTERM;
141 nobody reads the output any more

examples:
  snakepit map text_tools:count_words --in lines.txt > counts.jsonl
  find . -name '*.py' | snakepit map source_tools:complexity --text --workers 4 --unordered
  snakepit map stats:mean --in numbers.jsonl --json --fail-fast
)";

/// As many as there are processors for us; more than 8 only when somebody asks for them.
int default_workers() {
    constexpr int most = 8;
    cpu_set_t processors;
    return ::sched_getaffinity(0, sizeof processors, &processors) == 0 ? std::clamp(CPU_COUNT(&processors), 1, most)
                                                                       : 2;
}

/// Why each and every line would fail; empty when the tool can be called with one argument.
std::string unfit(const std::vector<tool_spec>& tools, const std::string& name) {
    const auto tool = std::find_if(tools.begin(), tools.end(), [&](const tool_spec& t) { return t.name == name; });
    if (tool == tools.end()) {
        std::vector<std::string> names;
        for (const auto& t : tools) names.push_back(t.name);
        return fmt::format("there is no tool '{}'; {}", name, detail::nearest_names(name, names));
    }
    using kind = tool_parameter::kind;
    int positional = 0;
    int needed = 0;
    for (const auto& p : tool->parameters) {
        if (p.passing == kind::var_keyword) continue;
        if (p.passing == kind::keyword_only) {
            if (!p.has_default)
                return fmt::format(
                    "the tool '{}' needs the keyword argument '{}'; map gives one "
                    "positional argument",
                    name, p.name);
            continue;
        }
        ++positional;
        needed += !p.has_default && p.passing != kind::var_positional ? 1 : 0;
    }
    if (positional > 0 && needed <= 1) return {};
    return fmt::format("the tool '{}' takes {}; map gives it one argument: the line", name,
                       positional == 0 ? std::string("no arguments") : fmt::format("at least {} arguments", needed));
}

asio::awaitable<int> map_lines(pool& workers, map_settings how, bool quiet) {
    if (const auto why = unfit(workers.tools(), how.tool); !why.empty()) {
        complain(why);
        co_return exit_usage;
    }
    const auto run = std::make_shared<map_run>(workers, std::move(how));
    const int code = co_await map_run::run(run);
    if (!quiet) complain(run->summary());
    co_return code;
}

int run(const map_arguments& given) {
    tool_name name;
    if (!parse_tool_name(given.tool, name)) return exit_usage;
    detail::unique_fd file;
    if (given.in != "-") {
        file = detail::unique_fd(::open(given.in.c_str(), O_RDONLY | O_CLOEXEC));
        if (!file) {
            complain(fmt::format("cannot read {}: {}", given.in, std::strerror(errno)));
            return exit_usage;
        }
    }
    const int input = file ? file.get() : STDIN_FILENO;
    struct stat about{};
    if (::fstat(input, &about) != 0 || S_ISDIR(about.st_mode)) {
        complain(given.in == "-" ? std::string("the standard input is closed or a directory")
                                 : fmt::format("cannot read {}: it is a directory", given.in));
        return exit_usage;
    }

    const int count = given.workers > 0 ? given.workers : default_workers();
    auto options = make_pool_options(given.common, name.module, count);
    // The window decides how many there are. With a time limit, which counts from the moment when a call is handed to a
    // worker, no call waits there behind another.
    constexpr int most_per_worker = 512;
    options.calls_per_worker = given.common.timeout > 0 ? 1 : most_per_worker;

    // While all workers are away the whole window waits.
    options.queue_limit = std::max(options.queue_limit, static_cast<std::size_t>(count) * most_per_worker);

    map_settings how;
    how.tool = name.tool;
    how.call = make_call_options(given.common);
    how.form = given.text ? line_form::text : given.json ? line_form::json : line_form::automatic;
    how.keep_order = !given.unordered;
    how.fail_fast = given.fail_fast;
    how.quiet = given.quiet;
    how.least_calls = static_cast<std::size_t>(count) * (given.common.timeout > 0 ? 1 : 2);
    how.most_calls = static_cast<std::size_t>(count) * static_cast<std::size_t>(options.calls_per_worker);
    how.input = input;
    how.longest_line = options.max_message_bytes;
    if (S_ISREG(about.st_mode)) {
        const auto at = ::lseek(input, 0, SEEK_CUR);
        how.input_bytes = static_cast<std::uint64_t>(std::max<off_t>(0, about.st_size - std::max<off_t>(0, at)));
    }
    return with_pool(std::move(options), [&](pool& workers) { return map_lines(workers, how, given.quiet); });
}

}  // namespace

command add_map(CLI::App& to) {
    auto given = std::make_shared<map_arguments>();
    constexpr int most_workers = 1000;
    to.footer(map_footer);
    to.add_option("tool", given->tool, "what to call for each line")->type_name("MODULE:TOOL")->required();
    to.add_option("--in", given->in, "the input; '-' is the standard input")->type_name("FILE")->capture_default_str();
    to.add_option("--workers", given->workers, "Python processes; default: one per processor, at most 8")
        ->type_name("N")
        ->check(CLI::Range(1, most_workers));
    to.add_flag("--unordered", given->unordered, "write each result as soon as it is there");
    auto* text = to.add_flag("--text", given->text, "every line is text");
    to.add_flag("--json", given->json, "every line is JSON; one that is not has failed")->excludes(text);
    to.add_flag("--fail-fast", given->fail_fast, "stop at the first line that fails; what comes before is written");
    to.add_flag("--quiet", given->quiet, "no summary, no progress");
    add_timeout_option(to, given->common, "each call, one per worker at a time then");
    add_pool_options(to, given->common);
    return [given] { return run(*given); };
}

}  // namespace snakepit::cli
