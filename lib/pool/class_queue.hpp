#pragma once
// Calls that wait, by their priority: whose turn it is, and how many of each there may be.

#include "pool/call.hpp"
#include "pool/intrusive_list.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace snakepit::detail {

/** A queue for each class, and one for the calls of host tools, which goes ahead of all.

    Each class has a pass, which grows by its stride with every call that gets a place: the class with the lowest is
    next. One for which no call has waited begins where the others are, so that nobody saves turns up. Strict calls wait
    elsewhere, but count. All in constant time. */
class class_queue {
public:
    static constexpr std::size_t classes = 3;
    /// Classes that are not to be looked at for now.
    using mask = unsigned;

    [[nodiscard]] static constexpr std::size_t index_of(const call& c) noexcept {
        return static_cast<std::size_t>(c.priority);
    }
    [[nodiscard]] static constexpr mask only(const call& c) noexcept { return 1U << index_of(c); }

    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    /// Calls in the queues.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// These and those that wait elsewhere.
    [[nodiscard]] std::size_t waiting() const noexcept { return size_ + elsewhere_; }
    [[nodiscard]] std::size_t waiting(priority of) const noexcept { return all_[static_cast<std::size_t>(of)]; }

    /// The call whose turn it is.
    [[nodiscard]] call* front(mask without = 0) const noexcept {
        if (!nested_.empty()) return nested_.front();
        const queue* best = nullptr;
        for (std::size_t i = 0; i < classes; ++i)
            if (!(without >> i & 1U) && !by_class_[i].calls.empty() && (!best || by_class_[i].pass < best->pass))
                best = &by_class_[i];
        return best ? best->calls.front() : nullptr;
    }
    /// The first one of that class.
    [[nodiscard]] call* front_of(priority of) const noexcept {
        return by_class_[static_cast<std::size_t>(of)].calls.front();
    }
    /// The first of those among which a call waits.
    [[nodiscard]] call* front_beside(const call& c) const noexcept { return list_of(c).front(); }
    /// The last of these.
    [[nodiscard]] call* back_beside(const call& c) const noexcept { return list_of(c).back(); }
    /// A call that is to go before this one, which is not in yet. Null: it would be the first.
    [[nodiscard]] call* ahead_of(const call& joining, mask without = 0) const noexcept {
        if (call* own = by_class_[index_of(joining)].calls.front()) return own;
        call* const first = front(without);
        return first && goes_before(*first, joining) ? first : nullptr;
    }
    /// Of two calls that wait, one of them elsewhere perhaps.
    [[nodiscard]] bool goes_before(const call& a, const call& b) const noexcept {
        if (a.parent) return true;
        const auto i = index_of(a);
        const auto j = index_of(b);
        if (i == j) return a.ticket < b.ticket;
        return pass_of(i) != pass_of(j) ? pass_of(i) < pass_of(j) : i < j;
    }
    /// Whether one more of this class may wait. A share of the places is kept for each other class that was ever used.
    [[nodiscard]] bool has_room(const call& c, std::size_t limit) const noexcept {
        constexpr std::size_t parts = 8;
        constexpr std::size_t least_limit = 4;  // below there is too little to be shared out
        const auto share = limit < least_limit ? 0 : std::max<std::size_t>(1, limit / parts);
        auto taken = waiting();
        for (std::size_t i = 0; i < classes; ++i)
            if (i != index_of(c) && (used_ >> i & 1U)) taken += share - std::min(share, all_[i]);
        return taken < limit;
    }

    /// There are calls of this class.
    void note(const call& c) noexcept { used_ |= only(c); }
    /// At the end of its class; the call of a host tool ahead of all.
    void join(call& c) noexcept {
        entered(c);
        if (c.parent) nested_.push_front(c);
        else by_class_[index_of(c)].calls.push_back(c);
        ++size_;
    }
    void leave(call& c) noexcept {
        list_of(c).erase(c);
        --size_;
        --all_[index_of(c)];
    }
    /// It waits for its session's line.
    void waits_elsewhere(const call& c) noexcept {
        entered(c);
        ++elsewhere_;
    }
    void left_elsewhere(const call& c) noexcept {
        --elsewhere_;
        --all_[index_of(c)];
    }
    /// It has got a place while it or others waited.
    void served(const call& c) noexcept {
        if (c.parent) return;
        auto& pass = by_class_[index_of(c)].pass;
        pass = pass_of(index_of(c));
        now_ = std::max(now_, pass);
        constexpr std::array<std::uint64_t, classes> strides = {1, 4, 16};
        pass += strides[index_of(c)];
    }

    /// It was its turn, and another one has been served: that does not count as a turn saved up.
    void passed_over(const call& c) noexcept {
        auto& pass = by_class_[index_of(c)].pass;
        pass = std::max(pass, now_);
    }

    /// Puts calls back, which come by ticket, among those that wait.
    class merger {
    public:
        explicit merger(class_queue& into) : into_(into) {
            for (std::size_t i = 0; i < classes; ++i) behind_[i] = into.by_class_[i].calls.front();
        }
        void put(call& c) noexcept {
            if (c.parent) return into_.join(c);
            into_.entered(c);
            auto& behind = behind_[index_of(c)];
            while (behind && behind->ticket < c.ticket) behind = behind->hook.next;
            into_.by_class_[index_of(c)].calls.insert(behind, c);
            ++into_.size_;
        }

    private:
        class_queue& into_;
        std::array<call*, classes> behind_{};
    };

private:
    using list = intrusive_list<call, &call::hook>;
    struct queue {
        list calls;
        std::uint64_t pass = 0;
    };

    [[nodiscard]] list& list_of(const call& c) noexcept { return c.parent ? nested_ : by_class_[index_of(c)].calls; }
    [[nodiscard]] const list& list_of(const call& c) const noexcept {
        return c.parent ? nested_ : by_class_[index_of(c)].calls;
    }
    [[nodiscard]] std::uint64_t pass_of(std::size_t i) const noexcept {
        return all_[i] != 0 ? by_class_[i].pass : std::max(by_class_[i].pass, now_);
    }
    void entered(const call& c) noexcept {
        const auto i = index_of(c);
        by_class_[i].pass = pass_of(i);
        ++all_[i];
    }

    list nested_;
    std::array<queue, classes> by_class_;
    std::array<std::size_t, classes> all_{};  // that wait, here or elsewhere, those of host tools included
    std::size_t size_ = 0;
    std::size_t elsewhere_ = 0;
    std::uint64_t now_ = 0;  // the pass of the call that was served last
    mask used_ = 0;
};

}  // namespace snakepit::detail
