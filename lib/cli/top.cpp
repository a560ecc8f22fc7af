// snakepit top

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/pool_choice.hpp"
#include "cli/sparkline.hpp"
#include "cli/terminal.hpp"
#include "cli/text_table.hpp"
#include "cli/top_history.hpp"
#include "cli/top_sampler.hpp"
#include "cli/top_view.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>
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

std::vector<std::string> lines_of(const std::string& text, std::size_t columns) {
    std::vector<std::string> lines;
    std::istringstream from(printable_lines(text));
    for (std::string l; std::getline(from, l);) lines.push_back(clipped(l, columns));
    return lines;
}

/// What the screen shows, and which line of it stands out.
struct page {
    std::vector<std::string> lines;
    std::optional<std::size_t> marked{};
    std::string keys;
};

/// The screen, and what was typed.
class live_view {
public:
    live_view(admin_client pool, top_history& history)
        : path_(pool.path()), samples_(std::move(pool)), history_(history) {}

    /// @return  why it has ended: a signal's number, or 0 for the key; or that the pool has gone
    admin_result<int> run(std::chrono::milliseconds pause) {
        for (auto next = clock::now() + pause;;) {
            draw();
            const auto pressed =
                screen_.wait(time_until(next), {asked_ ? asked_->descriptor() : -1, samples_.descriptor()});
            if (pressed.what == key::interrupted) return pressed.signal;
            if (pressed.what == key::other && (pressed.letter == 'q' || pressed.letter == 'Q')) return 0;
            obey(pressed);
            hear();
            samples_.hear(history_);
            if (clock::now() < next || samples_.is_waiting()) continue;
            if (auto begun = samples_.begin(); !begun) return tl::unexpected(begun.error());
            next = clock::now() + pause;
        }
    }

private:
    /// While a sample is awaited the seconds go on.
    [[nodiscard]] std::chrono::milliseconds time_until(clock::time_point next) const {
        constexpr std::chrono::milliseconds second(1'000);
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - clock::now());
        return samples_.is_waiting() ? second : left;
    }

    void obey(const key_press& pressed) {
        if (!stack_.empty()) return obey_at_stack(pressed);
        const auto count = history_.workers.size();
        if (pressed.what == key::up && selected_ > 0) --selected_;
        if (pressed.what == key::down) ++selected_;
        keep_selection();
        if (pressed.what != key::other) return;
        if (pressed.letter == 'd') {
            const auto* command = history_.status.value("draining", false) ? "resume" : "drain";
            return ask(command, {{"command", command}});
        }
        if (count == 0) return;
        const auto worker = history_.workers[selected_].at("id").get<std::string>();
        if (pressed.letter == 's') ask("stack of " + worker, {{"command", "stack"}, {"worker", worker}});
        if (pressed.letter == 'r') ask("recycling " + worker, {{"command", "recycle"}, {"worker", worker}});
    }

    void obey_at_stack(const key_press& pressed) {
        if (pressed.what == key::up && scrolled_ > 0) --scrolled_;
        if (pressed.what == key::down) ++scrolled_;  // not past the end: see stack_page
        if (pressed.what == key::other) stack_.clear();
    }

    /// There may be fewer workers than there were.
    void keep_selection() {
        const auto count = history_.workers.size();
        selected_ = std::min(selected_, count == 0 ? 0 : count - 1);
    }

    /// By a connection of its own, since it may take its time.
    void ask(std::string what, const value& request) {
        if (asked_) return void(note_ = doing_ + " is not done yet");
        auto client = admin_client::connect(path_);
        if (!client) return void(note_ = what + ": " + client.error().message);
        if (const auto sent = client->send(request); !sent) return void(note_ = what + ": " + sent.error().message);
        asked_ = std::move(*client);
        doing_ = std::move(what);
        note_ = doing_ + " ...";
    }

    void hear() {
        if (!asked_) return;
        constexpr auto at_once = std::chrono::milliseconds(0);
        const auto reply = asked_->hear(at_once);
        if (!reply && !reply.error().is_gone()) return;
        asked_.reset();
        if (!reply) return void(note_ = doing_ + ": the pool has gone");
        const auto why = failure_in(*reply);
        note_ = why ? doing_ + ": " + why->message : doing_ + ": done";
        if (why || !reply->contains("stack")) return;
        stack_ = doing_ + "\n\n" + reply->at("stack").get<std::string>();
        scrolled_ = 0;
    }

    /// @param room  for so many lines
    [[nodiscard]] page pool_page(std::size_t room, const view_options& how) {
        keep_selection();
        page shown{header_lines(history_, how), {}, "q quit  j/k select  s stack  r recycle  d drain/resume"};
        shown.lines.emplace_back();
        auto table = worker_lines(history_, how);
        const auto above = shown.lines.size() + 1;
        // What is selected is always seen.
        const auto for_workers = room > above ? room - above : 1;
        const auto first = std::min(selected_ >= for_workers ? selected_ - for_workers + 1 : 0, table.size() - 1);
        table.erase(table.begin() + 1, table.begin() + 1 + static_cast<std::ptrdiff_t>(first));
        if (table.size() > 1) shown.marked = above + selected_ - first;
        std::ranges::move(table, std::back_inserter(shown.lines));
        return shown;
    }

    /// @param room  for so many lines
    [[nodiscard]] page stack_page(std::size_t room, const view_options& how) {
        page shown{lines_of(stack_, how.columns), {}, "any key: back"};
        const auto all = shown.lines.size();
        scrolled_ = std::min(scrolled_, all > room ? all - room : 0);
        if (all > room)
            shown.keys = fmt::format("j/k scroll  any other key: back  |  lines {} to {} of {}", scrolled_ + 1,
                                     scrolled_ + room, all);
        shown.lines.erase(shown.lines.begin(), shown.lines.begin() + static_cast<std::ptrdiff_t>(scrolled_));
        return shown;
    }

    [[nodiscard]] std::string last_line(const page& shown) const {
        auto line = shown.keys;
        // What is wrong comes first: a narrow screen cuts the end.
        if (const auto trouble = samples_.trouble(); !trouble.empty()) line = trouble + "  |  " + line;
        if (!note_.empty()) line += "  |  " + note_;
        return printable(line);
    }

    void draw() {
        const auto size = screen_.size();
        const view_options how{size.columns, utf8_};
        const std::size_t room = size.rows > 0 ? size.rows - 1 : 0;  // the last row is for keys
        auto shown = stack_.empty() ? pool_page(room, how) : stack_page(room, how);
        shown.lines.resize(room);
        shown.lines.push_back(clipped(last_line(shown), size.columns));
        std::string frame = "\x1b[H";
        for (std::size_t i = 0; i < shown.lines.size(); ++i) {
            const auto& line = shown.lines[i];
            const bool is_last = i + 1 == shown.lines.size();
            frame += shown.marked == i && !is_last && !line.empty() ? "\x1b[7m" + line + "\x1b[0m" : line;
            frame += is_last ? "\x1b[K" : "\x1b[K\r\n";
        }
        screen_.draw(frame);
    }

    const std::string path_;
    top_sampler samples_;
    top_history& history_;
    terminal screen_;
    const bool utf8_ = locale_has_utf8();
    std::size_t selected_ = 0;
    std::string stack_;
    std::size_t scrolled_ = 0;  // lines of it that are above the screen
    std::string note_;
    std::string doing_;
    std::optional<admin_client> asked_;
};

int end_of(const admin_failure& why, bool json) {
    if (json || !why.is_gone()) return refused(why, json);
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
    const bool json = given.choice.json;
    if (!once && !terminal::is_there())
        return misused("this is no terminal that can move its cursor; --once prints one frame", json);
    auto client = choose(given.choice);
    if (!client) return refused(client.error(), json);
    top_history history;
    if (const auto first = history.sample(*client); !first) return end_of(first.error(), json);
    if (once) {
        std::this_thread::sleep_for(pause_of(given));  // rates need two samples
        if (const auto second = history.sample(*client); !second) return end_of(second.error(), json);
        return print_once(history, json);
    }
    admin_result<int> ended = 0;
    {
        live_view view(std::move(*client), history);
        ended = view.run(pause_of(given));
    }
    if (!ended) return end_of(ended.error(), json);
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
        ->check(seconds_between(0.1, 3600))
        ->capture_default_str();
    to.add_flag("--once", given->once,
                "print one frame and end, also where there is no terminal; --json does that too");
    return [given] { return run(*given); };
}

}  // namespace snakepit::cli
