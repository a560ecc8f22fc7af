#include "pool/stream_state.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <utility>

namespace snakepit::detail {
namespace {

error ended_error() { return {errc::stream_ended, "the stream has ended; its result says why"}; }

}  // namespace

/// Who hears what, once the mutex is released.
struct stream_state::wake_ups {
    std::vector<std::pair<completion<item>, item>> readers;
    std::vector<std::pair<std::shared_ptr<sender>, result<void>>> senders;
    completion<result<value>> end_waiter;
    std::optional<result<value>> outcome;

    ~wake_ups() {
        for (auto& [who, it] : readers) completion<item>::post(std::move(who), std::move(it));
        for (auto& [who, what] : senders) completion<result<void>>::post(std::move(who->done), std::move(what));
        if (end_waiter) completion<result<value>>::post(std::move(end_waiter), std::move(*outcome));
    }
};

// ---- items

/// So much less is kept.
/// @return  what is to be given back now: grants are frames of their own
std::size_t stream_state::use(std::size_t cost) {
    used_ += cost;
    if (used_ < stream_window / 4 || ended_) return 0;
    credit_ += static_cast<std::int64_t>(used_);
    return std::exchange(used_, 0);
}

stream_state::taken stream_state::take() {
    const std::lock_guard lock(mutex_);
    if (items_.empty()) return {ended_ || dropping_, std::nullopt, 0};
    taken t{true, std::move(items_.front()), 0};
    items_.pop_front();
    t.credit = use(stream_cost(t.it->size()));
    return t;
}

std::size_t stream_state::await_item(completion<item> done) {
    wake_ups todo;
    const std::lock_guard lock(mutex_);
    if (!items_.empty()) {
        auto& it = todo.readers.emplace_back(std::move(done), std::move(items_.front())).second;
        items_.pop_front();
        return use(stream_cost(it->size()));
    }
    if (ended_ || dropping_) todo.readers.emplace_back(std::move(done), std::nullopt);
    else readers_.push_back(std::move(done));
    return 0;
}

void stream_state::will_be_cancelled() {
    const std::lock_guard lock(mutex_);
    cancelling_ = true;
}

void stream_state::discard() {
    wake_ups todo;
    std::deque<std::string> old;
    const std::lock_guard lock(mutex_);
    dropping_ = true;
    old.swap(items_);
    part_ = {};
    for (auto& r : readers_) todo.readers.emplace_back(std::move(r), std::nullopt);
    readers_.clear();
}

std::uint64_t stream_state::beginning() const {
    const std::lock_guard lock(mutex_);
    return beginning_;
}

std::optional<std::string> stream_state::put(std::uint64_t beginning, std::vector<std::string> values,
                                             std::uint64_t total, std::size_t& credit) {
    wake_ups todo;
    const std::lock_guard lock(mutex_);
    if (beginning != beginning_) return std::nullopt;
    items_came_ = true;
    const auto pay = [&](std::uint64_t bytes) {
        if (credit_ <= 0) return false;
        credit_ -= static_cast<std::int64_t>(stream_cost(bytes));
        return true;
    };
    const auto deliver = [&](std::string v) {
        if (ended_ || dropping_) {
            credit += use(stream_cost(v.size()));
        } else if (!readers_.empty()) {
            credit += use(stream_cost(v.size()));
            todo.readers.emplace_back(std::move(readers_.front()), std::move(v));
            readers_.pop_front();
        } else {
            items_.push_back(std::move(v));
        }
    };
    constexpr auto beyond = "items beyond its credit";
    if (total == 0) {
        if (part_total_ != 0) return "an item before the one before it was whole";
        for (auto& v : values) {
            if (!pay(v.size())) return beyond;
            deliver(std::move(v));
        }
        return std::nullopt;
    }
    auto& piece = values.front();
    if (part_total_ == 0) {
        if (!pay(total)) return beyond;
        part_total_ = total;
        part_size_ = 0;
        if (!ended_ && !dropping_) part_.reserve(total);
    }
    if (total != part_total_ || piece.size() > total - part_size_)
        return "a piece of an item that does not fit the others";
    part_size_ += piece.size();
    const bool is_wanted = !ended_ && !dropping_;
    if (is_wanted) part_ += piece;
    if (part_size_ < total) return std::nullopt;
    part_total_ = 0;
    if (is_wanted) deliver(std::exchange(part_, {}));
    else credit += use(stream_cost(total));
    return std::nullopt;
}

// ---- input

std::optional<error> stream_state::refusal() const {
    if (ended_) return ended_error();
    if (!takes_input)
        return error(errc::bad_arguments,
                     "the tool takes no input; @snakepit.tool(input=...) names a parameter for it");
    if (finished_) return error(errc::stream_ended, "the input was finished");
    return std::nullopt;
}

void stream_state::accept(std::shared_ptr<const std::string> what) {
    input_credit_ -= static_cast<std::int64_t>(stream_cost(what->size()));
    input_.push_back(std::move(what));
}

std::optional<error> stream_state::send(std::shared_ptr<sender>& who) {
    const std::lock_guard lock(mutex_);
    if (auto refused = refusal()) return refused;
    if (input_credit_ > 0) {
        accept(std::move(who->what));
        who.reset();
    } else {
        senders_.push_back(who);
    }
    return std::nullopt;
}

void stream_state::withdraw(const std::shared_ptr<sender>& who, const error& why) {
    wake_ups todo;
    const std::lock_guard lock(mutex_);
    const auto at = std::find(senders_.begin(), senders_.end(), who);
    if (at == senders_.end()) return;
    todo.senders.emplace_back(std::move(*at), tl::unexpected(why));
    senders_.erase(at);
}

std::optional<error> stream_state::finish() {
    wake_ups todo;
    const std::lock_guard lock(mutex_);
    if (auto refused = refusal()) return refused;
    finished_ = true;
    for (auto& s : senders_)
        todo.senders.emplace_back(std::move(s), tl::unexpected(error(errc::stream_ended, "the input was finished")));
    senders_.clear();
    return std::nullopt;
}

std::optional<std::string> stream_state::grant(std::uint64_t beginning, std::uint64_t bytes) {
    wake_ups todo;
    std::vector<std::shared_ptr<const std::string>> old;
    const std::lock_guard lock(mutex_);
    if (beginning != beginning_) return std::nullopt;
    input_used_ = true;
    if (bytes > sent_cost_) return "credit for more input than it was sent";
    sent_cost_ -= bytes;
    if (ended_) return std::nullopt;  // its input has been forgotten
    input_credit_ += static_cast<std::int64_t>(bytes);
    grant_rest_ += bytes;
    while (sent_ > 0 && grant_rest_ >= stream_cost(input_.front()->size())) {
        grant_rest_ -= stream_cost(input_.front()->size());
        old.push_back(std::move(input_.front()));
        input_.pop_front();
        --sent_;
    }
    while (input_credit_ > 0 && !senders_.empty()) {
        accept(std::move(senders_.front()->what));
        todo.senders.emplace_back(std::move(senders_.front()), result<void>());
        senders_.pop_front();
    }
    return std::nullopt;
}

bool stream_state::has_input() const {
    const std::lock_guard lock(mutex_);
    return !ended_ && (sent_ < input_.size() || (finished_ && !finish_sent_));
}

std::optional<input_piece> stream_state::next_input(std::size_t room) {
    const std::lock_guard lock(mutex_);
    if (ended_) return std::nullopt;
    if (sent_ == input_.size()) {
        if (!finished_ || finish_sent_) return std::nullopt;
        finish_sent_ = true;
        return input_piece{nullptr, 0, 0, true};
    }
    const auto& whole = input_[sent_];
    const auto left = whole->size() - offset_;
    constexpr std::size_t least_cut = std::size_t{32} << 10;  // smaller ones wait for the next frame instead
    constexpr std::size_t least_piece = std::size_t{4} << 10;
    if (left > room && (whole->size() < least_cut || room < least_piece)) return std::nullopt;
    input_piece p{whole, offset_, std::min({left, room, max_inline_bytes}), false};
    offset_ += p.size;
    if (offset_ == whole->size()) {
        sent_cost_ += stream_cost(whole->size());
        offset_ = 0;
        ++sent_;
    }
    return p;
}

bool stream_state::is_untouched() const {
    const std::lock_guard lock(mutex_);
    return !items_came_ && !input_used_;
}

void stream_state::begin_again() {
    const std::lock_guard lock(mutex_);
    ++beginning_;
    sent_ = 0;
    offset_ = 0;
    sent_cost_ = 0;
    finish_sent_ = false;
}

// ---- the end

bool stream_state::has_ended() const {
    const std::lock_guard lock(mutex_);
    return ended_;
}

std::size_t stream_state::await_end(completion<result<value>> done) {
    wake_ups todo;
    std::deque<std::string> old;
    std::size_t credit = 0;
    const std::lock_guard lock(mutex_);
    if (std::exchange(end_told_, true)) {
        todo.end_waiter = std::move(done);
        todo.outcome = tl::unexpected(error(errc::stream_ended, "the stream's result can be had once"));
        return 0;
    }
    dropping_ = true;
    for (const auto& i : items_) credit += use(stream_cost(i.size()));
    old.swap(items_);
    part_ = {};
    for (auto& r : readers_) todo.readers.emplace_back(std::move(r), std::nullopt);
    readers_.clear();
    if (outcome_) {
        todo.end_waiter = std::move(done);
        todo.outcome = std::exchange(outcome_, std::nullopt);
    } else {
        end_waiter_ = std::move(done);
    }
    return credit;
}

void stream_state::end(result<value> outcome) {
    wake_ups todo;
    std::deque<std::shared_ptr<const std::string>> old;
    std::deque<std::string> unwanted;
    const std::lock_guard lock(mutex_);
    if (std::exchange(ended_, true)) return;
    old.swap(input_);
    if (cancelling_ && !outcome && outcome.error() == errc::cancelled) unwanted.swap(items_);
    for (auto& s : senders_) todo.senders.emplace_back(std::move(s), tl::unexpected(ended_error()));
    senders_.clear();
    for (auto& r : readers_) todo.readers.emplace_back(std::move(r), std::nullopt);
    readers_.clear();
    if (end_waiter_) {
        todo.end_waiter = std::move(end_waiter_);
        todo.outcome = std::move(outcome);
    } else {
        outcome_ = std::move(outcome);
    }
}

}  // namespace snakepit::detail
