#pragma once
// From where things happen to whoever wants to know.

#include <snakepit/events.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

namespace snakepit::detail {

/** Calls every subscriber that wants an event, there and then: on the strand of the worker that it is about, of the
    pool, or on gRPC's threads. What it throws is lost. An event that nobody wants is not even made: `wants` is one
    load. What a subscriber itself gives rise to is told when all have heard of the first: no subscriber is ever called
    while another is at work on the same thread, so that two threads cannot wait for each other's.

    @par Thread safety  every member from any thread, also from within a subscriber */
class event_bus {
public:
    using subscriber = std::function<void(const event&)>;

    /// @param closed  called once when nothing more will be told; at once if that is so already. Empty: nobody asks
    [[nodiscard]] event_subscription subscribe(event_filter filter, subscriber s, std::function<void()> closed = {});
    /// From now on it wants others: each event is told by the one filter or the other. Not by two threads at once, and
    /// not of an empty subscription.
    void refilter(event_subscription& which, event_filter filter);

    template <class Kind>
    [[nodiscard]] bool wants() const noexcept {
        return (list_->wanted.load(std::memory_order_acquire) >> event_filter::index_of<Kind> & 1) != 0;
    }

    /// @param make  makes the happened::something, if somebody wants to know
    template <class Make>
    void publish(Make make) const {
        if (wants<std::invoke_result_t<Make>>()) tell_of(std::chrono::system_clock::now(), std::move(make));
    }
    /// What happened at that time, elsewhere.
    template <class Make>
    void publish_at(std::chrono::system_clock::time_point time, Make make) const {
        if (wants<std::invoke_result_t<Make>>()) tell_of(time, std::move(make));
    }
    /// Readers have nothing more to wait for: they get what there is, then nothing.
    void close();

private:
    friend class snakepit::event_subscription;
    using entries = std::vector<std::shared_ptr<subscription_entry>>;
    struct list {
        std::mutex mutex;
        /// Never changed, but replaced: whoever tells an event takes them as they are then.
        std::shared_ptr<const entries> all = std::make_shared<const entries>();
        bool closed = false;
        std::atomic<std::uint64_t> wanted = 0;  // a bit for each kind that somebody wants
        void replace(entries by);               // with the mutex
        void tell(const event& e);
    };
    static_assert(event_filter::kinds <= 64);

    /// Becomes what happened where the event has it: some are large, and there is one for each call.
    template <class Make>
    struct in_place {
        Make make;
        operator std::invoke_result_t<Make>() && { return std::move(make)(); }
    };
    template <class Make>
    void tell_of(std::chrono::system_clock::time_point time, Make make) const {
        event e;
        e.time = time;
        e.what.template emplace<std::invoke_result_t<Make>>(in_place<Make>{std::move(make)});
        tell(e);
    }
    void tell(const event& e) const;

    const std::shared_ptr<list> list_ = std::make_shared<list>();
};

}  // namespace snakepit::detail
