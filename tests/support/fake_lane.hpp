#pragma once
// A worker inside the test's own process: takes frames from the switchboard, checks what the wire promises about them,
// and answers at once or when it is told, by whichever thread tells it.

#include "pool/limits.hpp"
#include "pool/line.hpp"
#include "pool/switchboard.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace snakepit::testing {

/// One frame as it was taken, without its contents.
struct seen_frame {
    std::vector<std::uint64_t> calls;
    struct piece {
        std::uint64_t transfer = 0;
        std::size_t offset = 0;
        std::size_t size = 0;  ///< 0: the transfer was aborted
    };
    std::vector<piece> pieces;
    std::size_t bytes = 0;
};

/// A call as a worker has it.
struct received_call {
    std::uint64_t id = 0;
    std::uint32_t tool = 0;
    std::string arguments;
};

/** A lane whose other end is this object.

    @par Thread safety  every member from any thread */
class fake_lane final : public detail::lane {
public:
    struct manners {
        bool answers = false;       ///< each call at once, inline; else when `answer` says so
        int width = 1;              ///< calls that it runs at once
        bool writes_end = true;     ///< at once; else when `end_write` says so
        std::uint64_t runs_us = 1;  ///< each call, as it says
        std::function<result<value>(received_call&)> reply = [](received_call& c) { return value(c.arguments); };
    };

    fake_lane(detail::switchboard& board, manners how) : board_(board), how_(std::move(how)) {}

    /// Connects a new worker to the board.
    static std::shared_ptr<fake_lane> plug_in(detail::switchboard& board, std::string name,
                                              const std::vector<tool_spec>& tools, manners how) {
        const int width = how.width;
        auto made = std::make_shared<fake_lane>(board, std::move(how));
        auto l = board.connect(std::move(name), tools, made, 0, width);
        {
            const std::lock_guard lock(mutex_of(*made));
            made->line_ = std::move(l);
        }
        made->flush();
        return made;
    }
    /// The worker dies.
    void unplug(const error& why, detail::last_words said = detail::last_words()) {
        if (const auto l = carried()) board_.disconnect(*l, why, std::move(said));
        const std::lock_guard lock(mutex_);
        held_.clear();
        line_.reset();
    }

    void flush() override {
        ++flushes_;
        while (take_one()) {
            if (!how_.writes_end) return;
            const auto l = carried();
            if (!l) return;
            board_.written(*l);
        }
    }
    void end_write() {
        if (const auto l = carried()) board_.written(*l);
        flush();
    }
    void cancel(const std::vector<std::uint64_t>& ids) override {
        const std::lock_guard lock(mutex_);
        cancels_.insert(cancels_.end(), ids.begin(), ids.end());
    }

    void recall(const std::vector<std::uint64_t>& ids) override {
        const std::lock_guard lock(mutex_);
        recalls_.push_back(ids);
        std::sort(recalls_.back().begin(), recalls_.back().end());
    }

    void served() override { ++served_; }

    /// Answers these ids in one frame, also those that it was never sent.
    std::optional<std::string> answer(const std::vector<std::uint64_t>& ids) {
        std::vector<detail::settlement> replies;
        {
            const std::lock_guard lock(mutex_);
            for (const auto id : ids) {
                const auto held = std::find_if(held_.begin(), held_.end(), [&](const auto& c) { return c.id == id; });
                if (held == held_.end()) {
                    replies.push_back({id, value()});
                    continue;
                }
                replies.push_back({id, how_.reply(*held), true, how_.runs_us});
                held_.erase(held);
            }
        }
        return settle(replies);
    }
    /// Gives these back, in one frame, also those that nobody has asked for.
    std::optional<std::string> give_back(const std::vector<std::uint64_t>& ids) {
        std::vector<detail::settlement> replies;
        {
            const std::lock_guard lock(mutex_);
            for (const auto id : ids) {
                std::erase_if(held_, [&](const auto& c) { return c.id == id; });
                replies.push_back({id, value(), false, 0, true});
            }
        }
        return settle(replies);
    }
    /// Answers everything that it holds.
    std::optional<std::string> answer_all() {
        std::vector<detail::settlement> replies;
        {
            const std::lock_guard lock(mutex_);
            replies.reserve(held_.size());
            for (auto& c : held_) replies.push_back({c.id, how_.reply(c), true, how_.runs_us});
            held_.clear();
        }
        return settle(replies);
    }

    [[nodiscard]] std::shared_ptr<detail::line> carried() const {
        const std::lock_guard lock(mutex_);
        return line_;
    }
    [[nodiscard]] std::vector<std::uint64_t> held() const {
        const std::lock_guard lock(mutex_);
        std::vector<std::uint64_t> ids;
        for (const auto& c : held_) ids.push_back(c.id);
        return ids;
    }
    [[nodiscard]] std::vector<std::string> held_arguments() const {
        const std::lock_guard lock(mutex_);
        std::vector<std::string> all;
        for (const auto& c : held_) all.push_back(c.arguments);
        return all;
    }
    [[nodiscard]] std::vector<seen_frame> frames() const {
        const std::lock_guard lock(mutex_);
        return frames_;
    }
    [[nodiscard]] std::vector<std::uint64_t> cancels() const {
        const std::lock_guard lock(mutex_);
        return cancels_;
    }
    /// The ids of each time that it was asked for calls back.
    [[nodiscard]] std::vector<std::vector<std::uint64_t>> recalls() const {
        const std::lock_guard lock(mutex_);
        return recalls_;
    }
    /// The same, once.
    [[nodiscard]] std::vector<std::vector<std::uint64_t>> take_recalls() {
        const std::lock_guard lock(mutex_);
        return std::exchange(recalls_, {});
    }
    /// Promises of the wire that a frame broke.
    [[nodiscard]] std::vector<std::string> faults() const {
        const std::lock_guard lock(mutex_);
        return faults_;
    }
    /// The bytes of its input that a stream call was sent, a dot behind each value, and "end".
    [[nodiscard]] std::string input_of(std::uint64_t id) const {
        const std::lock_guard lock(mutex_);
        const auto found = inputs_.find(id);
        return found == inputs_.end() ? std::string() : found->second;
    }
    /// Credit that a stream call was given.
    [[nodiscard]] std::size_t credit_of(std::uint64_t id) const {
        const std::lock_guard lock(mutex_);
        const auto found = credit_.find(id);
        return found == credit_.end() ? 0 : found->second;
    }
    /// The worker yields.
    std::optional<std::string> yields(std::uint64_t id, std::vector<std::string> values, std::uint64_t total = 0) {
        std::vector<detail::arrived_items> items;
        items.push_back({id, std::move(values), total});
        return board_.take_streams(*carried(), items, {});
    }
    /// The worker has used some of its input.
    std::optional<std::string> uses(std::uint64_t id, std::uint64_t bytes) {
        std::vector<detail::arrived_items> nothing;
        return board_.take_streams(*carried(), nothing, {{id, bytes}});
    }
    [[nodiscard]] int flushes() const { return flushes_; }
    /// How often it was told that it has served what was agreed upon.
    [[nodiscard]] int served_calls() const { return served_; }

private:
    struct transfer {
        std::size_t total = 0;
        std::string stored;
    };

    static std::mutex& mutex_of(fake_lane& l) { return l.mutex_; }

    bool take_one() {
        const auto l = carried();
        if (!l || !board_.take(*l, frame_)) return false;
        {
            const std::lock_guard lock(mutex_);
            note();
            take_in();
            frame_.clear();
        }
        // Before the write has ended: what the answers make room for leaves with the next turn of flush().
        if (how_.answers) (void)answer_all();
        return true;
    }

    std::optional<std::string> settle(std::vector<detail::settlement>& replies) {
        const auto l = carried();
        return l && !replies.empty() ? board_.settle(*l, replies) : std::nullopt;
    }

    void note() {
        seen_frame seen;
        for (const auto& c : frame_.calls) seen.calls.push_back(c.id);
        for (const auto& p : frame_.chunks) seen.pieces.push_back({p.transfer, p.offset, p.whole ? p.size : 0});
        seen.bytes = frame_.bytes;
        frames_.push_back(std::move(seen));
    }

    void take_in() {
        const auto expect = [&](bool holds, std::string what) {
            if (!holds) faults_.push_back(std::move(what));
        };
        constexpr std::size_t least_overhead = 24;
        std::size_t bytes = 0;
        expect(frame_.items() != 0, "an empty frame");
        expect(frame_.items() <= detail::max_frame_items, "too many items in a frame");
        for (const auto& p : frame_.chunks) {
            bytes += p.size + least_overhead;
            if (!p.whole) {
                expect(open_.erase(p.transfer) == 1, "aborts a transfer that is not open");
                continue;
            }
            auto& t = open_[p.transfer];
            if (p.offset == 0) {
                expect(p.transfer == ++last_transfer_, "transfers do not count from 1");
                t.total = p.whole->size();
                std::size_t all = 0;
                for (const auto& [id, other] : open_) all += other.total;
                expect(open_.size() == 1 || all <= detail::max_inflight_bytes, "too many bytes in open transfers");
            }
            expect(p.offset == t.stored.size(), "a piece out of order");
            expect(p.size != 0 && p.size <= detail::max_inline_bytes, "a piece of a wrong size");
            t.stored.append(*p.whole, p.offset, p.size);
        }
        for (const auto& c : frame_.calls) {
            const auto& arguments = c.of->arguments;
            bytes += arguments.size() + c.of->session.size() + least_overhead;
            expect(c.id == ++last_id_, "ids do not count from 1");
            expect(arguments.size() <= detail::max_inline_bytes, "a large value inline");
            held_.push_back({c.id, c.tool, arguments});
            if (c.transfer == 0) continue;
            auto& t = open_[c.transfer];
            expect(t.total != 0 && t.stored.size() == t.total, "a call before its whole value");
            held_.back().arguments = std::move(t.stored);
            open_.erase(c.transfer);
        }
        for (const auto& [id, what] : frame_.inputs) {
            bytes += what.size;
            expect(id <= last_id_, "input before its call");
            expect(what.size <= detail::max_inline_bytes, "a large piece of input");
            auto& all = inputs_[id];
            if (what.whole) all += what.whole->substr(what.offset, what.size);
            if (what.whole && what.offset + what.size == what.whole->size()) all += '.';
            if (what.is_last) all += "end";
        }
        for (const auto& [id, more] : frame_.grants) credit_[id] += more;
        expect(frame_.bytes <= detail::max_frame_bytes, fmt::format("a frame of {} bytes", frame_.bytes));
        expect(bytes <= frame_.bytes, "a frame larger than it says");
    }

    detail::switchboard& board_;
    const manners how_;
    detail::out_frame frame_;  // belongs to whoever has it from take(), as in a real lane
    std::atomic<int> flushes_ = 0;
    std::atomic<int> served_ = 0;

    mutable std::mutex mutex_;
    std::shared_ptr<detail::line> line_;
    std::vector<received_call> held_;
    std::vector<seen_frame> frames_;
    std::vector<std::uint64_t> cancels_;
    std::vector<std::vector<std::uint64_t>> recalls_;
    std::vector<std::string> faults_;
    std::map<std::uint64_t, transfer> open_;
    std::map<std::uint64_t, std::string> inputs_;
    std::map<std::uint64_t, std::size_t> credit_;
    std::uint64_t last_id_ = 0;
    std::uint64_t last_transfer_ = 0;
};

}  // namespace snakepit::testing
