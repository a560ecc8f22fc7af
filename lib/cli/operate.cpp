// snakepit stack, drain, resume, recycle, resize, kill, loglevel: one request, one reply.

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/pool_choice.hpp"
#include "cli/text_table.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <charconv>
#include <memory>
#include <optional>

namespace snakepit::cli {
namespace {

constexpr auto stack_limit = std::chrono::seconds(30);

/// What a command was given.
struct operation {
    pool_choice choice;
    std::string worker;
    std::string size;
    std::string group;
    std::string level;
    bool all = false;
};

std::shared_ptr<operation> prepare(CLI::App& to) {
    auto given = std::make_shared<operation>();
    add_pool_choice(to, given->choice);
    return given;
}

CLI::Option* add_worker(CLI::App& to, operation& into) {
    return to.add_option("worker", into.worker, "its name, such as w0, as `snakepit workers` shows it")
        ->type_name("WORKER");
}

std::string nothing(const value&) { return {}; }

/// A stack may hold what the program's users have typed.
std::string stack_of(const value& reply) {
    auto text = reply.at("stack").get<std::string>();
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return printable_lines(text);
}

std::string level_of(const value& reply) { return reply.at("level").get<std::string>(); }

struct size_range {
    int min = 0;
    int max = 0;  ///< 0: the same
};

/// "2" or "2..8".
std::optional<size_range> parse_size(const std::string& text) {
    size_range r;
    const char* const end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), end, r.min);
    if (first.ec != std::errc() || r.min < 0) return std::nullopt;
    if (first.ptr == end) return r;
    if (end - first.ptr < 3 || first.ptr[0] != '.' || first.ptr[1] != '.') return std::nullopt;
    const auto second = std::from_chars(first.ptr + 2, end, r.max);
    if (second.ec != std::errc() || second.ptr != end || r.max < 1) return std::nullopt;
    return r;
}

int run_resize(const operation& given) {
    const auto size = parse_size(given.size);
    if (!size)
        return misused(fmt::format("'{}' is no size; say N or MIN..MAX, such as 4 or 2..8", given.size),
                       given.choice.json);
    value request{{"command", "resize"}, {"min", size->min}};
    if (size->max != 0) request["max"] = size->max;
    if (!given.group.empty()) request["group"] = given.group;
    return ask_pool(given.choice, request, nothing, admin_client::no_limit);
}

int run_recycle(const operation& given) {
    if (given.all != given.worker.empty())
        return misused("say which worker, or --all, and not both", given.choice.json);
    // The protocol's word for all of them is no worker's name.
    if (given.worker == "all")
        return refused({"bad_arguments", "no worker \"all\"; --all recycles all of them"}, given.choice.json);
    const value request{{"command", "recycle"}, {"worker", given.all ? "all" : given.worker}};
    return ask_pool(given.choice, request, nothing, admin_client::no_limit);
}

}  // namespace

command add_stack(CLI::App& to) {
    auto given = prepare(to);
    add_worker(to, *given)->required();
    return [given] {
        return ask_pool(given->choice, {{"command", "stack"}, {"worker", given->worker}}, stack_of, stack_limit);
    };
}

command add_drain(CLI::App& to) {
    auto given = prepare(to);
    to.footer("\nCalls that were let in go on. `snakepit resume` takes it back.\n");
    return [given] { return ask_pool(given->choice, {{"command", "drain"}}, nothing); };
}

command add_resume(CLI::App& to) {
    auto given = prepare(to);
    return [given] { return ask_pool(given->choice, {{"command", "resume"}}, nothing); };
}

command add_recycle(CLI::App& to) {
    auto given = prepare(to);
    to.footer(
        "\nWaits until the successors have taken over. No call fails by it. With --all the module is imported "
        "anew first.\n");
    add_worker(to, *given);
    to.add_flag("--all", given->all, "every worker, with the module as it is now");
    return [given] { return run_recycle(*given); };
}

command add_resize(CLI::App& to) {
    auto given = prepare(to);
    to.footer(
        "\nexamples:\n  snakepit resize 4\n  snakepit resize 2..8 io\n  snakepit resize 0       one, while there are "
        "calls\n");
    to.add_option("size", given->size, "how many workers, or the least and the most")
        ->type_name("N|MIN..MAX")
        ->required();
    to.add_option("group", given->group, "whose; default: the pool's own workers")->type_name("GROUP");
    return [given] { return run_resize(*given); };
}

command add_kill(CLI::App& to) {
    auto given = prepare(to);
    to.footer("\nAs a crash would: its calls fail, or go to others where that is safe, and it is started again.\n");
    add_worker(to, *given)->required();
    return [given] { return ask_pool(given->choice, {{"command", "kill"}, {"worker", given->worker}}, nothing); };
}

command add_loglevel(CLI::App& to) {
    auto given = prepare(to);
    to.add_option("level", given->level, "debug, info, warning, error or off; default: only tell what it is")
        ->type_name("LEVEL");
    return [given] {
        value request{{"command", "loglevel"}};
        if (!given->level.empty()) request["level"] = given->level;
        return ask_pool(given->choice, request, level_of);
    };
}

}  // namespace snakepit::cli
