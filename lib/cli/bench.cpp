// snakepit bench MODULE:TOOL

#include "cli/bench_load.hpp"
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/text_table.hpp"
#include "value/json_text.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <asio/this_coro.hpp>
#include <memory>
#include <thread>

namespace snakepit::cli {
namespace {

struct bench_arguments {
    common_options common;
    std::string tool;
    std::string arguments = "[]";
    std::vector<int> concurrency{1, 8, 32, 128};
    double seconds = 2;
    int workers = 0;  ///< 0: one per processor, at most 8
    std::string profile = "process";
    bool json = false;
};

constexpr double warm_up = 0.2;  // seconds, which are not counted

worker_profile profile_of(const std::string& name) {
    return name == "thread"  ? worker_profile::thread
           : name == "async" ? worker_profile::async
                             : worker_profile::process;
}

std::chrono::nanoseconds nanoseconds_of(double seconds) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

std::vector<std::string> row_of(const load_outcome& o) {
    const bool any = o.calls > o.errors;
    const auto time = [&](double seconds) { return any ? duration_text(seconds) : std::string("-"); };
    return {std::to_string(o.concurrency),
            grouped(static_cast<std::uint64_t>(o.per_second)),
            time(o.p50),
            time(o.p99),
            time(o.longest),
            grouped(o.errors)};
}

value json_of(const load_outcome& o) {
    const auto time = [&](double seconds) { return o.calls > o.errors ? value(seconds) : value(nullptr); };
    return {{"concurrency", o.concurrency},
            {"calls", o.calls},
            {"calls_per_second", o.per_second},
            {"p50", time(o.p50)},
            {"p99", time(o.p99)},
            {"max", time(o.longest)},
            {"errors", o.errors},
            {"first_error", o.first_error ? value(o.first_error->full()) : value(nullptr)}};
}

int print(const std::vector<load_outcome>& all, bool json) {
    value list = value::array();
    std::vector<std::vector<std::string>> rows{{"CALLERS", "CALLS/S", "P50", "P99", "MAX", "ERRORS"}};
    for (const auto& o : all) {
        list.push_back(json_of(o));
        rows.push_back(row_of(o));
    }
    constexpr int indent = 2;
    return print_line(json ? list.dump(indent, ' ', false, value::error_handler_t::replace)
                           : joined_lines(table_lines(rows, {true, true, true, true, true, true})));
}

/// When it is cancelled it tells of what it has measured to the end.
asio::awaitable<int> measure(pool& workers, const bench_arguments& given, load each) {
    co_await asio::this_coro::throw_if_cancelled(false);
    std::vector<load_outcome> all;
    each.concurrency = 1;
    each.time = nanoseconds_of(warm_up);
    load first = each;
    auto warmed = co_await run_load(workers, std::move(first));
    if (!warmed) co_return exit_failed;
    std::optional<error> why = warmed->first_error;
    for (const int concurrency : given.concurrency) {
        load next = each;
        next.concurrency = concurrency;
        next.time = nanoseconds_of(given.seconds);
        auto outcome = co_await run_load(workers, std::move(next));
        if (!outcome) break;
        if (!why) why = outcome->first_error;
        all.push_back(std::move(*outcome));
    }
    if (all.empty()) co_return exit_failed;
    const int printed = print(all, given.json);
    if (why) complain("the first error: " + why->full());
    co_return printed != exit_ok || !why ? printed : exit_failed;
}

int run(const bench_arguments& given) {
    tool_name name;
    if (!parse_tool_name(given.tool, name)) return exit_usage;
    auto arguments = detail::from_json_text(given.arguments);
    if (!arguments) {
        complain("the arguments are not JSON: " + arguments.error().message());
        return exit_usage;
    }
    constexpr int most_by_default = 8;
    const int processors = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    auto options = make_pool_options(given.common, name.module,
                                     given.workers > 0 ? given.workers : std::min(processors, most_by_default));
    options.profile = profile_of(given.profile);
    // All callers may wait at once: calls of one priority have seven eighths of the queue at most.
    options.queue_limit =
        std::max(options.queue_limit, std::size_t{2} * static_cast<std::size_t>(std::ranges::max(given.concurrency)));
    const load each{name.tool, std::move(*arguments), make_call_options(given.common)};
    return with_pool(std::move(options), [&](pool& workers) { return measure(workers, given, each); });
}

}  // namespace

command add_bench(CLI::App& to) {
    auto given = std::make_shared<bench_arguments>();
    to.footer(
        "\nexamples:\n  snakepit bench text_tools:count_words '[\"some text\"]'\n"
        "  snakepit bench app:fetch '{\"url\": \"x\"}' --profile async --concurrency 1 100\n\n"
        "Each caller makes its next call when its last one has ended. All callers share one thread.\n");
    constexpr int most = 100'000;
    constexpr int most_workers = 1'000;
    to.add_option("tool", given->tool, "what to call")->type_name("MODULE:TOOL")->required();
    to.add_option("arguments", given->arguments, "a JSON list of arguments, or an object of keyword arguments")
        ->type_name("ARGS-JSON")
        ->capture_default_str();
    to.add_option("--concurrency", given->concurrency, "numbers of callers, one after the other")
        ->type_name("N...")
        ->delimiter(',')
        ->check(CLI::Range(1, most))
        ->capture_default_str();
    to.add_option("--seconds", given->seconds, "for each of them")
        ->type_name("SECONDS")
        ->check(seconds_between(0.01, 3600))
        ->capture_default_str();
    to.add_option("--workers", given->workers, "Python processes; default: one per processor, at most 8")
        ->type_name("N")
        ->check(CLI::Range(1, most_workers));
    to.add_option("--profile", given->profile, "how a worker runs its calls")
        ->check(CLI::IsMember({"process", "thread", "async"}))
        ->capture_default_str();
    to.add_flag("--json", given->json, "print the figures as JSON, times in seconds");
    add_timeout_option(to, given->common, "a call");
    add_pool_options(to, given->common);
    return [given] { return run(*given); };
}

}  // namespace snakepit::cli
