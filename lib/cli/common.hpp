#pragma once
// What all subcommands share: their options, how they end, and a pool to work with.

#include <snakepit/options.hpp>
#include <snakepit/pool.hpp>

#include <asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
class Validator;
}  // namespace CLI

namespace snakepit::cli {

/// How the command ends. A signal's number comes on top of `signalled`: 130 for Ctrl-C, as shells have it.
enum exit_code : int { exit_ok = 0, exit_failed = 1, exit_usage = 2, exit_signalled = 128 };

struct common_options {
    std::string python;
    std::vector<std::string> path;
    double timeout = 0;
    double start_timeout = 30;
};

/// --python, --path, --start-timeout.
void add_pool_options(CLI::App& to, common_options& into);
/// For options in seconds: a number, and neither infinite nor none, as CLI::Range lets through.
[[nodiscard]] CLI::Validator seconds_between(double least, double most);
/// --timeout.
void add_timeout_option(CLI::App& to, common_options& into, const std::string& of_what);

/// "module:tool" in its parts.
struct tool_name {
    std::string module;
    std::string tool;
};
/// @return  whether it has both; complains if not
bool parse_tool_name(const std::string& text, tool_name& into);

[[nodiscard]] pool_options make_pool_options(const common_options& common, std::string module, int workers);
/// Of one worker, and too short-lived for operators: without a socket for them.
[[nodiscard]] pool_options make_brief_pool_options(const common_options& common, std::string module);
[[nodiscard]] call_options make_call_options(const common_options& common);

/// To stderr, as far as that takes it: nothing else depends on it.
void tell(std::string_view text);
/// The same, a line behind "snakepit: ".
void complain(std::string_view text);
void complain_of(const error& why);

/** Starts a pool, runs `body` with it, stops it. SIGINT and SIGTERM cancel what runs (asio's terminal cancellation);
   the second one kills the workers at once.

    @param not_started  told why the pool could not start
    @return  what `body` returned, exit_usage when the pool could not start, or exit_signalled + number */
[[nodiscard]] int with_pool(pool_options options, const std::function<asio::awaitable<int>(pool&)>& body,
                            const std::function<void(const error&)>& not_started = complain_of);

/// To stdout. @return  exit_ok, or how to end when that is not possible
[[nodiscard]] int print_line(std::string_view text);
/// How to end when the output could not be written; says so.
[[nodiscard]] int output_failed(int error_number);

/// A number with thousands separated: 1,000,000.
[[nodiscard]] std::string grouped(std::uint64_t n);

}  // namespace snakepit::cli
