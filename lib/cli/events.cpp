// snakepit events

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/pool_choice.hpp"
#include "cli/text_table.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <memory>

namespace snakepit::cli {
namespace {

struct events_arguments {
    pool_choice choice;
    std::vector<std::string> only;
    std::string worker;
    bool follow = false;
};

std::string json_line(const value& v) { return v.dump(-1, ' ', false, value::error_handler_t::replace); }

/// "2026-01-31T12:00:00.000Z worker_ended worker=w0 ..."
std::string line_of(const value& e) {
    if (e.contains("dropped"))
        return fmt::format("({} events were left out, since they came too fast)", e.at("dropped").get<std::uint64_t>());
    auto line = fmt::format("{} {}", e.value("time", "?"), e.value("event", "?"));
    for (const auto& [key, item] : e.items()) {
        if (key == "time" || key == "event" || item.is_null() || item == value("")) continue;
        line += fmt::format(
            " {}={}", key,
            item.is_string() && item.get_ref<const std::string&>().find_first_of(" \"\n\t") == std::string::npos
                ? item.get<std::string>()
                : json_line(item));
    }
    return printable(line);
}

/// Waits for the pool. @return  whether the reader of our output has gone before it had anything to say
bool is_abandoned(const admin_client& pool) {
    if (pool.has_more()) return false;
    std::array<pollfd, 2> both{{{pool.descriptor(), POLLIN, 0}, {STDOUT_FILENO, 0, 0}}};
    while (::poll(both.data(), both.size(), -1) < 0 && errno == EINTR) {
    }
    return both[0].revents == 0 && (both[1].revents & (POLLERR | POLLHUP)) != 0;
}

int follow(admin_client& from, const value& request, bool json) {
    const auto begun = from.ask(request);
    if (!begun) return refused(begun.error(), json);
    for (;;) {
        if (is_abandoned(from)) return output_failed(EPIPE);
        const auto next = from.hear(admin_client::no_limit);
        if (!next && next.error().is_gone()) {
            complain("the pool has gone");
            return exit_ok;
        }
        if (!next) return refused(next.error(), json);
        if (const int printed = print_line(json ? json_line(*next) : line_of(*next)); printed != exit_ok)
            return printed;
    }
}

int run(const events_arguments& given) {
    value request{{"command", "events"}};
    if (!given.only.empty()) request["only"] = given.only;
    if (!given.worker.empty()) request["worker"] = given.worker;
    if (given.follow) request["follow"] = true;
    auto client = choose(given.choice);
    if (!client) return refused(client.error(), given.choice.json);
    if (given.follow) return follow(*client, request, given.choice.json);
    const auto reply = client->ask(request);
    if (!reply) return refused(reply.error(), given.choice.json);
    for (const auto& e : reply->at("events"))
        if (const int printed = print_line(given.choice.json ? json_line(e) : line_of(e)); printed != exit_ok)
            return printed;
    return exit_ok;
}

}  // namespace

command add_events(CLI::App& to) {
    auto given = std::make_shared<events_arguments>();
    to.footer(
        "\nexamples:\n  snakepit events\n  snakepit events --follow --only worker_ended call_slow\n\n"
        "docs/events.md has the table of all of them. Those that come with each call, each beat and each line of\n"
        "output are not kept, only followed. With --json each is a line of its own.\n");
    add_pool_choice(to, given->choice);
    to.add_flag("-f,--follow", given->follow, "what happens from now on, until the pool or you go");
    to.add_option("--only", given->only, "these kinds alone")->type_name("NAME...");
    to.add_option("--worker", given->worker, "only what is about this worker")->type_name("WORKER");
    return [given] { return run(*given); };
}

}  // namespace snakepit::cli
