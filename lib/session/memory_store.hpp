#pragma once
// Sessions in this process's memory.

#include "session/expiry_wheel.hpp"
#include "session/lease.hpp"
#include "session/name_index.hpp"
#include "session/slab.hpp"
#include "session/variable_table.hpp"
#include "session/watch_group.hpp"

#include <snakepit/error.hpp>
#include <snakepit/session_backend.hpp>
#include <snakepit/session_options.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit::detail {

/** What `session_backend` says, without coroutines: each operation is done when it returns, and takes no longer with
    many sessions than with few. `now` is the time of a steady clock; it need not be the same in all threads.

    An incarnation says where its session lies, so that an operation looks no key up. A use writes down when the session
    expires and moves nothing: the wheel finds out when it comes to it.

    @par Thread safety  every member from any thread, also from within a watcher and the alarm; watchers are called by
                        the operation that they hear of, or by one that is at it */
class memory_store {
public:
    using clock = std::chrono::steady_clock;
    using time_point = clock::time_point;

    explicit memory_store(const session_options& options);
    ~memory_store();
    memory_store(const memory_store&) = delete;
    memory_store& operator=(const memory_store&) = delete;

    /// Somebody is about to open it: has where it is looked up fetched into the cache.
    void expect(std::string_view key);
    [[nodiscard]] result<session_id> open(std::string key, time_point now);
    [[nodiscard]] result<std::vector<stored_variable>> read(const session_id& id, std::span<const std::string> names,
                                                            time_point now);
    /// @param own  the lease that allows the write, and knows of it: it stays as it is. Null: all are revoked
    [[nodiscard]] result<std::vector<std::uint64_t>> write(const session_id& id, std::vector<session_change> changes,
                                                           time_point now, const lease* own = nullptr);
    [[nodiscard]] result<std::vector<std::string>> names(const session_id& id, time_point now);
    [[nodiscard]] result<void> expire_after(const session_id& id, std::chrono::milliseconds ttl, time_point now);
    [[nodiscard]] result<void> close(const session_id& id, time_point now);
    [[nodiscard]] result<std::shared_ptr<void>> watch(const session_id& id, watch_group::teller tell, time_point now);

    /// A use, and nothing else.
    [[nodiscard]] result<void> touch(const session_id& id, time_point now);
    /// The session does not expire until `unpin` has been called as often. It can be closed meanwhile.
    [[nodiscard]] result<void> pin(const session_id& id, time_point now);
    /// A use. After the session's end it does nothing.
    void unpin(const session_id& id, time_point now);

    /** Variables, for as long as nobody else writes: whoever does has the lease revoked before the write is seen.

        @param to  with its worker and call; belongs to the store until it is revoked or taken back
        @return  nothing when the session has ended */
    [[nodiscard]] std::optional<lent> lend(const session_id& id, std::span<const std::string> names, lease& to,
                                           time_point now);
    void take_back(const session_id& id, lease& from);

    /// Sessions that there are, those included that have expired and that nobody has looked at yet.
    [[nodiscard]] std::size_t size() const noexcept { return count_.load(std::memory_order_relaxed); }

    /** Ends sessions that have expired, looking at `budget` of them at most, and sets the alarm for the next sweep: to
        `now` when there is more to do at once. */
    void sweep(time_point now, std::size_t budget = 1'024);
    using bell = std::function<void(time_point)>;
    /// @param ring  called, holding no mutex, with a time at which a sweep has something to do, whenever that becomes
    ///              earlier than what it was last told; at once when there are sessions already
    /// @return  the end of its life is the end of the calls
    [[nodiscard]] std::shared_ptr<const bell> on_alarm(bell ring);

private:
    struct session;
    struct shard;
    class visit;
    static constexpr unsigned shard_bits = 3;
    static constexpr unsigned slot_bits = 25;
    static constexpr auto never = time_point::max();

    [[nodiscard]] shard& shard_of(const session_id& id) const noexcept;
    void use(visit& v, session& s, time_point now);
    void end(visit& v, session& s);
    void look_at_by(visit& v, session& s);
    [[nodiscard]] result<std::size_t> bytes_after(session& s, std::span<const session_change> changes) const;
    [[nodiscard]] result<session_id> make(visit& v, std::string key, std::uint32_t hash, unsigned number,
                                          time_point now);
    void set_alarm(time_point at);

    const session_options limits_;
    const std::unique_ptr<std::array<shard, std::size_t{1} << shard_bits>> shards_;
    std::atomic<std::size_t> count_ = 0;

    std::atomic<clock::rep> alarm_at_ = never.time_since_epoch().count();  // changed under the mutex
    std::mutex alarm_mutex_;
    std::vector<std::weak_ptr<const bell>> bells_;
};

}  // namespace snakepit::detail
