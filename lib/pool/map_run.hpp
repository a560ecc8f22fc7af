#pragma once
// One `pool::map`: calls ahead of the consumer, and results for it.

#include "pool/map_window.hpp"
#include "pool/pool_impl.hpp"

#include <snakepit/detail/completion.hpp>
#include <snakepit/map.hpp>

#include <asio/any_io_executor.hpp>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace snakepit::detail {

/** Calls are begun, and the range is read, by the consumer alone, inside of `next`: what takes a result makes room for
   a call. Calls end on the consumer's executor, many by one handler; while the consumer waits, the first of them posts
    its wake-up, which comes behind the others.

    @par Thread safety  `cancel` from any thread; calls may end on any; the rest is the consumer's, one at a time */
class map_run : public std::enable_shared_from_this<map_run> {
public:
    /// What `next` returns.
    using item = std::optional<mapped<value>>;

    map_run(std::shared_ptr<pool_impl> impl, std::string tool, std::unique_ptr<map_source> items, map_options options);

    /// @param on   where its calls are to end
    /// @param out  filled in with what is next, nothing at the end
    /// @return  false: it is not there yet
    [[nodiscard]] bool try_next(const asio::any_io_executor& on, item& out);
    static void begin_next(std::shared_ptr<map_run> run, completion<item> done);
    void cancel() noexcept;
    [[nodiscard]] const std::string& tool() const noexcept { return tool_; }
    [[nodiscard]] const asio::any_io_executor& executor() const noexcept { return impl_->executor(); }

private:
    struct handler;
    /// The call of the place of the same number.
    struct at_pool {
        begun_call call;
        bool is_there = false;
        bool was_alone = false;                             // when it was begun, no other of ours was there
        std::optional<call::clock::time_point> refused_at;  // first, by a full queue
    };
    struct refused {
        std::size_t place = 0;
        value arguments;
    };

    [[nodiscard]] bool take(item& out);
    [[nodiscard]] bool is_to_wake() const;
    void fill_window(const asio::any_io_executor& on);
    [[nodiscard]] bool begin_next_item(const asio::any_io_executor& on);
    [[nodiscard]] bool try_again(const asio::any_io_executor& on);
    void begin(std::size_t place, value arguments, const asio::any_io_executor& on);
    [[nodiscard]] bool has_tried_enough(at_pool& c) const;
    void try_later(asio::any_io_executor on);
    void try_now();
    [[nodiscard]] std::optional<value> arguments_back(std::size_t place);
    void ended(std::size_t place, result<value> outcome);
    void dropped() noexcept;
    static void wait(std::shared_ptr<map_run> run, completion<item> done, bool on_its_executor);
    static void wake(std::shared_ptr<map_run> run, completion<item> done);

    struct alarm;

    const std::shared_ptr<pool_impl> impl_;
    const std::string tool_;
    const std::unique_ptr<map_source> items_;
    const map_options options_;

    // Taken before those of the pool. A call that cannot be begun, for want of memory, ends or is dropped in there.
    std::recursive_mutex mutex_;
    map_window window_;
    std::vector<at_pool> calls_;
    std::size_t at_pool_ = 0;
    std::deque<refused> refused_;      // by the queue; no item is begun while there are some
    std::size_t retries_ = 0;          // of these that may be tried now
    std::chrono::milliseconds pause_;  // before the next one is, when no call of ours is at the pool
    bool alarm_is_set_ = false;
    asio::any_io_executor on_;  // the consumer's, of late
    completion<item> waiter_;
    bool all_read_ = false;
    bool over_ = false;  // cancelled
};

}  // namespace snakepit::detail
