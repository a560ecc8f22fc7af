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

/// Hears of the end of every call, within the pool: with less on the way than a subscriber has. A call that has come
/// back from a worker finds little of this in the cache.
class call_listener {
public:
    call_listener() = default;
    call_listener(const call_listener&) = delete;
    call_listener& operator=(const call_listener&) = delete;
    /// On the thread that has ended the call, one call at a time. Must not call the bus.
    virtual void ended(const happened::call_ended& call) = 0;

protected:
    ~call_listener() = default;
};

/** Calls every subscriber that wants an event, there and then: on the strand of the worker that it is about, of the
    pool, or on gRPC's threads. What it throws is lost. An event that nobody wants is not even made: `wants` is one
    load. What a subscriber itself gives rise to is told when all have heard of the first: no subscriber is ever called
    while another is at work on the same thread, so that two threads cannot wait for each other's.
    Listeners call nobody: they hear of a call at once, also then.

    @par Thread safety  every member from any thread, also from within a subscriber */
class event_bus {
public:
    using subscriber = std::function<void(const event&)>;

    /// @param closed  called once when nothing more will be told; at once if that is so already. Empty: nobody asks
    [[nodiscard]] event_subscription subscribe(event_filter filter, subscriber s, std::function<void()> closed = {});
    /// From now on it wants others: each event is told by the one filter or the other. Not by two threads at once, and
    /// not of an empty subscription.
    void refilter(event_subscription& which, event_filter filter);
    /// Before all subscribers.
    /// @param who  outlives what is returned
    /// @return     ends it when it is released, and waits until nothing is told any more
    [[nodiscard]] std::shared_ptr<void> listen(call_listener& who);

    template <class Kind>
    [[nodiscard]] bool wants() const noexcept {
        return (list_->wanted.load(std::memory_order_acquire) >> event_filter::index_of<Kind> & 1) != 0;
    }

    /// @param make  makes the happened::something, if somebody wants to know
    template <class Make>
    void publish(Make make) const {
        using kind = std::invoke_result_t<Make>;
        if (!wants<kind>()) return;
        if constexpr (std::is_same_v<kind, happened::call_ended>) tell(make());
        else tell({std::chrono::system_clock::now(), make()});
    }
    /// What happened at that time, elsewhere.
    template <class Make>
    void publish_at(std::chrono::system_clock::time_point time, Make make) const {
        static_assert(!std::is_same_v<std::invoke_result_t<Make>, happened::call_ended>, "calls have listeners too");
        if (wants<std::invoke_result_t<Make>>()) tell({time, make()});
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
        std::atomic<bool> calls_are_subscribed = false;
        std::mutex listeners_mutex;             // taken behind the other one
        std::vector<call_listener*> listeners;  // changed with both mutexes, read with either
        void replace(entries by);               // with the mutex
        void note_wanted();                     // likewise
        void change_listeners(call_listener& who, bool hears);
        void tell_listeners(const happened::call_ended& call);
        void tell(const event& e);
    };
    static_assert(event_filter::kinds <= 64);

    void tell(const event& e) const;
    void tell(happened::call_ended call) const;

    const std::shared_ptr<list> list_ = std::make_shared<list>();
};

}  // namespace snakepit::detail
