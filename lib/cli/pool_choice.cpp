#include "cli/pool_choice.hpp"

#include "admin/discovery.hpp"
#include "cli/common.hpp"
#include "cli/text_table.hpp"
#include "wire/socket_directory.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

namespace snakepit::cli {
namespace {
namespace fs = std::filesystem;

constexpr auto how_to_choose = "name one with --pool PID|PATH|MODULE";

std::optional<running_pool> look_at(const std::string& path) {
    auto client = admin_client::connect(path);
    if (!client) return std::nullopt;
    constexpr auto limit = std::chrono::milliseconds(2'000);
    auto status = client->ask({{"command", "status"}}, limit);
    running_pool found{std::move(*client)};
    if (status) found.status = std::move(*status);
    else found.trouble = std::move(status.error());
    return found;
}

std::string module_of(const running_pool& p) {
    const auto found = p.status ? p.status->find("module") : value::const_iterator();
    return p.status && found != p.status->end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string list_of(const std::vector<running_pool>& pools) {
    std::string text;
    for (const auto& p : pools)
        text +=
            fmt::format("\n  {} {} {}", p.client.pid(), p.status ? module_of(p) : "(does not answer)", p.client.path());
    return text;
}

/// The sockets at a path that was named.
std::vector<std::string> sockets_at(const std::string& path) {
    std::error_code failed;
    if (!fs::is_directory(path, failed)) return {path};
    std::vector<std::string> found;
    for (fs::directory_iterator at(path, failed), end; !failed && at != end; at.increment(failed))
        if (at->path().filename().string().ends_with(detail::admin_ending)) found.push_back(at->path().string());
    return found;
}

tl::unexpected<admin_failure> no_pool(std::string message) {
    return tl::unexpected(admin_failure{"no_pool", std::move(message), admin_failure::source::choice});
}
tl::unexpected<admin_failure> several_pools(std::string message) {
    return tl::unexpected(admin_failure{"several_pools", std::move(message), admin_failure::source::choice});
}

admin_result<admin_client> choose_at(const std::string& path) {
    const auto sockets = sockets_at(path);
    if (sockets.empty()) return no_pool(fmt::format("no pool has its socket in {}", path));
    std::vector<admin_client> open;
    admin_failure why;
    for (const auto& s : sockets) {
        if (auto client = admin_client::connect(s)) open.push_back(std::move(*client));
        else why = client.error();
    }
    if (open.size() == 1) return std::move(open.front());
    if (open.empty()) return no_pool(fmt::format("no pool listens at {}: {}", path, why.message));
    std::string text;
    for (const auto& c : open) text += fmt::format("\n  {} {}", c.pid(), c.path());
    return several_pools(
        fmt::format("{} pools have their sockets in {}; {}:{}", open.size(), path, how_to_choose, text));
}

/// The connection by which it was asked how it is, or a new one where that was closed for want of an answer.
admin_result<admin_client> open_again(running_pool&& found) {
    if (found.status) return std::move(found.client);
    if (found.trouble && found.trouble->from == admin_failure::source::pool)
        return tl::unexpected(std::move(*found.trouble));
    return admin_client::connect(found.client.path());
}

}  // namespace

void add_pool_choice(CLI::App& to, pool_choice& into) {
    to.add_option("--pool", into.pool,
                  "the pool that is meant: the pid of its process, the path of its socket or of the directory of that, "
                  "or its module; default: the only one that runs")
        ->type_name("PID|PATH|MODULE");
    to.add_flag("--json", into.json, "print JSON, for programs");
}

std::vector<running_pool> running_pools() {
    std::vector<running_pool> all;
    const bool of_all_users = ::geteuid() == 0;
    for (const auto& place : detail::find_pools(of_all_users)) {
        if (auto found = look_at(place.socket)) {
            all.push_back(std::move(*found));
        } else if (const auto again = admin_client::connect(place.socket); !again && again.error().is_gone()) {
            detail::forget(place);
        }
    }
    std::ranges::sort(all, {}, [](const running_pool& p) { return p.client.pid(); });
    return all;
}

admin_result<admin_client> choose(const pool_choice& choice) {
    if (choice.pool.find('/') != choice.pool.npos) return choose_at(choice.pool);
    auto all = running_pools();
    const bool is_module = choice.pool.find_first_not_of("0123456789") != choice.pool.npos;
    if (is_module && std::ranges::any_of(all, [](const running_pool& p) { return !p.status; }))
        return several_pools(fmt::format("a pool does not answer, and may be one of {} too; name the pid:{}",
                                         choice.pool, list_of(all)));
    std::vector<running_pool> fit;
    for (auto& p : all)
        if (choice.pool.empty() || choice.pool == std::to_string(p.client.pid()) || choice.pool == module_of(p))
            fit.push_back(std::move(p));
    if (fit.size() == 1) return open_again(std::move(fit.front()));
    if (fit.size() > 1)
        return several_pools(fmt::format("{} pools run{}; {}:{}", fit.size(),
                                         choice.pool.empty() ? "" : fmt::format(" that {} fits", choice.pool),
                                         how_to_choose, list_of(fit)));
    if (all.empty())
        return no_pool(
            "no pool of this user runs here (or its `admin_socket` is off, or its socket lies where only its "
            "path leads: --pool PATH)");
    return no_pool(
        fmt::format("no pool that runs has the pid or the module {}; there are:{}", choice.pool, list_of(all)));
}

int refused(const admin_failure& why, bool json) {
    using source = admin_failure::source;
    complain(printable_lines(why.from == source::pool ? fmt::format("{} ({})", why.message, why.code) : why.message));
    if (json) {
        const value all{{"ok", false}, {"error", {{"code", why.code}, {"message", why.message}}}};
        if (const int printed = print_line(all.dump(-1, ' ', false, value::error_handler_t::replace));
            printed != exit_ok)
            return printed;
    }
    return why.from == source::choice ? exit_usage : exit_failed;
}

int misused(std::string message, bool json) {
    return refused({"bad_usage", std::move(message), admin_failure::source::choice}, json);
}

int ask_pool(const pool_choice& choice, const value& request, std::string (*words)(const value& reply),
             admin_client::milliseconds limit) {
    auto client = choose(choice);
    if (!client) return refused(client.error(), choice.json);
    if (limit != admin_client::short_limit) {  // to wait for long is for pools that answer
        if (const auto status = client->ask({{"command", "status"}}); !status)
            return refused(status.error(), choice.json);
    }
    const auto reply = client->ask(request, limit);
    if (!reply) return refused(reply.error(), choice.json);
    constexpr int indent = 2;
    if (choice.json) return print_line(reply->dump(indent, ' ', false, value::error_handler_t::replace));
    const auto text = words(*reply);
    return text.empty() ? static_cast<int>(exit_ok) : print_line(text);
}

}  // namespace snakepit::cli
