// snakepit top

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/pool_choice.hpp"
#include "cli/sparkline.hpp"
#include "cli/terminal.hpp"
#include "cli/text_table.hpp"
#include "cli/top_history.hpp"
#include "cli/top_view.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <sstream>
#include <thread>

namespace snakepit::cli {
namespace {
using clock = std::chrono::steady_clock;

struct top_arguments {
    pool_choice choice;
    double interval = 1;
    bool once = false;
};

std::chrono::milliseconds pause_of(const top_arguments& given) {
    return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(given.interval));
}

/// The screen, and what was typed.
class live_view {
public:
    live_view(admin_client& pool, top_history& history) : pool_(pool), history_(history) {}

    /// @return  why it has ended: a signal's number, or 0 for the key; or a failure of the pool's
    admin_result<int> run(std::chrono::milliseconds pause) {
        for (auto next = clock::now() + pause;;) {
            draw();
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - clock::now());
            const auto pressed = screen_.wait(left, asked_ ? asked_->descriptor() : -1);
            if (pressed.what == key::interrupted) return pressed.signal;
            if (pressed.what == key::other && (pressed.letter == 'q' || pressed.letter == 'Q')) return 0;
            obey(pressed);
            hear();
            if (clock::now() < next) continue;
            if (auto more = history_.sample(pool_); !more) return tl::unexpected(more.error());
            next = clock::now() + pause;
        }
    }

private:
    void obey(const key_press& pressed) {
        const auto count = history_.workers.size();
        if (pressed.what == key::up && selected_ > 0) --selected_;
        if (pressed.what == key::down) ++selected_;
        selected_ = std::min(selected_, count == 0 ? 0 : count - 1);
        if (pressed.what != key::other) return;
        if (!stack_.empty()) return stack_.clear();
        if (pressed.letter == 'd') {
            const auto* command = history_.status.value("draining", false) ? "resume" : "drain";
            return ask(command, {{"command", command}});
        }
        if (count == 0) return;
        const auto worker = history_.workers[selected_]["id"].get<std::string>();
        if (pressed.letter == 's') ask("stack of " + worker, {{"command", "stack"}, {"worker", worker}});
        if (pressed.letter == 'r') ask("recycling " + worker, {{"command", "recycle"}, {"worker", worker}});
    }

    /// By a connection of its own, since it may take its time.
    void ask(std::string what, const value& request) {
        if (asked_) return void(note_ = doing_ + " is not done yet");
        auto client = admin_client::connect(pool_.path());
        if (!client || !client->send(request)) return;
        asked_ = std::move(*client);
        doing_ = std::move(what);
        note_ = doing_ + " ...";
    }

    void hear() {
        if (!asked_) return;
        constexpr auto at_once = std::chrono::milliseconds(0);
        const auto reply = asked_->hear(at_once);
        if (!reply && !reply.error().is_gone) return;
        asked_.reset();
        if (!reply) return void(note_ = doing_ + ": the pool has gone");
        const auto why = failure_in(*reply);
        note_ = why ? doing_ + ": " + why->message : doing_ + ": done";
        if (!why && reply->contains("stack")) stack_ = doing_ + "\n\n" + (*reply)["stack"].get<std::string>();
    }

    void draw() {
        const auto size = screen_.size();
        const view_options how{size.columns, utf8_};
        const std::size_t body = size.rows > 0 ? size.rows - 1 : 0;  // the last row is for keys
        std::vector<std::string> lines;
        std::size_t marked = size.rows;
        if (stack_.empty()) {
            lines = header_lines(history_, how);
            lines.emplace_back();
            auto table = worker_lines(history_, how);
            const auto above = lines.size() + 1;
            // What is selected is always seen.
            const auto room = body > above ? body - above : 1;
            const auto first = selected_ >= room ? selected_ - room + 1 : 0;
            table.erase(table.begin() + 1, table.begin() + 1 + static_cast<std::ptrdiff_t>(first));
            marked = above + selected_ - first;
            std::ranges::move(table, std::back_inserter(lines));
        } else {
            std::istringstream text(stack_);
            for (std::string l; std::getline(text, l);) lines.push_back(clipped(printable(l), size.columns));
        }
        lines.resize(body);
        const auto* keys = stack_.empty() ? "q quit  j/k select  s stack  r recycle  d drain/resume" : "any key: back";
        lines.push_back(clipped(printable(note_.empty() ? keys : fmt::format("{}  |  {}", keys, note_)), size.columns));
        std::string frame = "\x1b[H";
        for (std::size_t i = 0; i < lines.size(); ++i) {
            const bool is_marked = i == marked && i + 1 < lines.size() && !lines[i].empty();
            frame += is_marked ? "\x1b[7m" + lines[i] + "\x1b[0m" : lines[i];
            frame += i + 1 < lines.size() ? "\x1b[K\r\n" : "\x1b[K";
        }
        screen_.draw(frame);
    }

    admin_client& pool_;
    top_history& history_;
    terminal screen_;
    const bool utf8_ = locale_has_utf8();
    std::size_t selected_ = 0;
    std::string stack_;
    std::string note_;
    std::string doing_;
    std::optional<admin_client> asked_;
};

int end_of(const admin_failure& why) {
    if (!why.is_gone) return refused(why);
    complain("the pool has gone");
    return exit_ok;
}

/// As JSON or as one frame for people.
int print_once(const top_history& history, bool json) {
    if (json) {
        value all = history.status;
        all["workers"] = history.workers;
        all["calls_per_second"] = history.rate ? value(*history.rate) : value(nullptr);
        all["error_rate"] = history.error_rate ? value(*history.error_rate) : value(nullptr);
        for (const auto& [name, part] : {std::pair("p50", 0.5), std::pair("p95", 0.95), std::pair("p99", 0.99)}) {
            const auto q = quantile(history.recent, part);
            all[name] = q ? value(*q) : value(nullptr);
        }
        constexpr int indent = 2;
        return print_line(all.dump(indent, ' ', false, value::error_handler_t::replace));
    }
    constexpr std::size_t wide = 1'000;
    const view_options how{wide, locale_has_utf8()};
    auto lines = header_lines(history, how);
    lines.emplace_back();
    std::ranges::move(worker_lines(history, how), std::back_inserter(lines));
    return print_line(joined_lines(lines));
}

int run(const top_arguments& given) {
    const bool once = given.once || given.choice.json;
    if (!once && (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0)) {
        complain("this is no terminal; --once prints one frame");
        return exit_usage;
    }
    auto client = choose(given.choice);
    if (!client) return exit_usage;
    top_history history;
    if (const auto first = history.sample(*client); !first) return end_of(first.error());
    if (once) {
        std::this_thread::sleep_for(pause_of(given));  // rates need two samples
        if (const auto second = history.sample(*client); !second) return end_of(second.error());
        return print_once(history, given.choice.json);
    }
    admin_result<int> ended = 0;
    {
        live_view view(*client, history);
        ended = view.run(pause_of(given));
    }
    if (!ended) return end_of(ended.error());
    return *ended == 0 ? static_cast<int>(exit_ok) : exit_signalled + *ended;
}

}  // namespace

command add_top(CLI::App& to) {
    auto given = std::make_shared<top_arguments>();
    to.footer(
        "\nkeys: q quits; arrows or j and k select a worker, s shows its stack, r recycles it; d drains and "
        "resumes\n\nerrors are calls that failed or were late; p50, p95 and p99 are of the calls that ended since "
        "the frame before\n");
    add_pool_choice(to, given->choice);
    to.add_option("--interval", given->interval, "from one frame to the next")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.1, 3600.0))
        ->capture_default_str();
    to.add_flag("--once", given->once,
                "print one frame and end, also where there is no terminal; --json does that too");
    return [given] { return run(*given); };
}

}  // namespace snakepit::cli
