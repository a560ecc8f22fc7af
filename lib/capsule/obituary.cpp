#include "capsule/obituary.hpp"

#include "wire/frames.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;

std::string in_words(std::chrono::microseconds d) {
    if (d < 1ms) return fmt::format("{} us", d.count());
    if (d < 1s) return fmt::format("{} ms", d / 1ms);
    return fmt::format("{:.1f} s", std::chrono::duration<double>(d).count());
}

/// It told which calls ran. Named for all of them is the one that did for longest.
last_words read_of_several(const page& left, std::vector<held_call> held, const page::progress& at,
                           std::chrono::steady_clock::time_point exited_at, worker_exit& how) {
    last_words said;
    said.begun = at.begun;
    said.running.emplace();
    for (auto& call : held) {
        if (call.id > at.begun) continue;
        const auto reply = left.reply_to(call.id, at);
        if (auto settled = reply ? settlement_of(call.id, *reply) : std::nullopt) {
            said.replies.push_back(std::move(*settled));
            continue;
        }
        const auto by_id = [&](const page::progress::place& p) { return p.id == call.id; };
        const auto place = std::find_if(at.running->begin(), at.running->end(), by_id);
        if (place == at.running->end()) continue;
        if (place->waits) {
            said.waiting.push_back(call.id);
            continue;
        }
        said.running->push_back(call.id);
        if (!how.running_tool.empty()) continue;
        how.running_tool = std::move(call.tool);
        how.running = std::chrono::duration_cast<std::chrono::microseconds>(exited_at - place->started);
    }
    return said;
}

}  // namespace

last_words read_last_words(const page& left, const switchboard& board, const line& of, bool ran_several,
                           std::chrono::steady_clock::time_point exited_at, worker_exit& how) {
    last_words said;
    const auto at = left.read_progress(board.last_sent(of), ran_several, board.at_once(of));
    if (!at) return said;
    said.begun = at->begun;
    said.done = at->done;
    if (at->running) return read_of_several(left, board.held(of), *at, exited_at, how);
    for (auto& call : board.held(of)) {
        if (call.id <= at->done) {
            const auto reply = left.reply_to(call.id, *at);
            if (auto settled = reply ? settlement_of(call.id, *reply) : std::nullopt)
                said.replies.push_back(std::move(*settled));
        } else if (call.id <= at->begun && how.running_tool.empty()) {  // of a batch, the first one
            how.running_tool = std::move(call.tool);
            how.running = std::chrono::duration_cast<std::chrono::microseconds>(exited_at - at->started);
        }
    }
    return said;
}

error explain_end(const std::string& worker, int pid, const std::string& reason, worker_exit how) {
    auto what = reason.empty() ? fmt::format("the worker (pid {}) ended: {}", pid, how.describe())
                               : fmt::format("the worker (pid {}) was ended: {}", pid, reason);
    if (!reason.empty() && !how.out_of_memory.empty()) what += "; " + how.out_of_memory;
    what += fmt::format("; it had been up for {}", in_words(how.uptime));
    if (how.resident_bytes != 0) what += fmt::format(", with {} MiB", how.resident_bytes >> 20);
    if (!how.running_tool.empty()) what += fmt::format(", and ran {} for {}", how.running_tool, in_words(how.running));
    return error(errc::worker_lost, std::move(what)).with_worker(worker).with_exit(std::move(how));
}

}  // namespace snakepit::detail
