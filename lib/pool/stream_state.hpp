#pragma once
// The items of one stream call, between its worker and its caller, both ways.

#include "pool/limits.hpp"

#include <snakepit/detail/completion.hpp>
#include <snakepit/error.hpp>
#include <snakepit/value.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace snakepit::detail {

/// Items of a call as they came in a frame.
struct arrived_items {
    std::uint64_t call = 0;
    std::vector<std::string> values;
    std::uint64_t total = 0;  ///< not 0: one piece of an item of so many bytes
};

/// A worker has used so much of a call's input.
struct arrived_grant {
    std::uint64_t call = 0;
    std::uint64_t bytes = 0;
};

/// A part of a call's input on its way to the worker.
struct input_piece {
    std::shared_ptr<const std::string> whole;  ///< null: nothing but the end
    std::size_t offset = 0;
    std::size_t size = 0;
    bool is_last = false;  ///< no more input comes
};

/// What one item takes of the credit of its direction.
inline std::size_t stream_cost(std::size_t bytes) { return bytes + stream_item_cost; }

/** Items stay encoded until their caller takes them: so many bytes were sent, and so many are kept.

    The caller takes its items without the switchboard's mutex; what it has used is given back to the worker as credit a
    quarter of a window at a time.

    @par Thread safety  every member from any thread, `due_on` excepted; may be called under the switchboard's mutex */
class stream_state {
public:
    using item = std::optional<std::string>;
    /// A caller who waits until its item may be sent.
    struct sender {
        std::shared_ptr<const std::string> what;
        completion<result<void>> done;
    };

    // The caller's.

    struct taken {
        bool is_known = false;   ///< whether there is an item or will never be one
        item it;                 ///< MessagePack
        std::size_t credit = 0;  ///< to be given to the worker
    };
    /// An item, if that is to be had without waiting.
    [[nodiscard]] taken take();
    /// The same, waiting: ends with an item, or with nothing when there will be none.
    /// @return  credit to be given to the worker
    [[nodiscard]] std::size_t await_item(completion<item> done);
    /// Ends when the call does; from here on items are dropped.
    /// @return  credit to be given to the worker
    [[nodiscard]] std::size_t await_end(completion<result<value>> done);
    /// Items that came, and those that come, are dropped: nobody wants them.
    void discard();
    /// The same once it ends by being cancelled. Another end may come first, and then nothing has happened.
    void will_be_cancelled();
    /// Whether the call has ended for its caller.
    [[nodiscard]] bool has_ended() const;

    /// @return  why it cannot be sent. Else `who` is empty when it is on its way, and will be answered when it is not
    [[nodiscard]] std::optional<error> send(std::shared_ptr<sender>& who);
    /// One that waits is not to be sent after all.
    void withdraw(const std::shared_ptr<sender>& who, const error& why);
    [[nodiscard]] std::optional<error> finish();

    // The call's end for its caller. The first one counts.

    void end(result<value> outcome);

    // The worker's.

    /// How often it has begun. What a worker says that was sent an earlier one is ignored.
    [[nodiscard]] std::uint64_t beginning() const;
    /// @param credit  what is to be given back at once
    /// @return  the breach of protocol, if it is one
    [[nodiscard]] std::optional<std::string> put(std::uint64_t beginning, std::vector<std::string> values,
                                                 std::uint64_t total, std::size_t& credit);
    /// @return  the breach of protocol, if it is one
    [[nodiscard]] std::optional<std::string> grant(std::uint64_t beginning, std::uint64_t bytes);
    [[nodiscard]] bool has_input() const;
    /// The next part of the input that was not sent, of at most so many bytes of a value that is cut in pieces;
    /// nothing: there is none, or it does not fit.
    [[nodiscard]] std::optional<input_piece> next_input(std::size_t room);
    /// Whether another worker may run the call as if nothing had happened.
    [[nodiscard]] bool is_untouched() const;
    /// Another worker will: it is sent the input from the beginning.
    void begin_again();

    /// Said when the call is let in.
    bool takes_input = false;
    /// The switchboard's: number of the line that knows that there is input; 0: none.
    std::uint64_t due_on = 0;

private:
    struct wake_ups;
    std::size_t use(std::size_t cost);
    [[nodiscard]] std::optional<error> refusal() const;
    void accept(std::shared_ptr<const std::string> what);

    mutable std::mutex mutex_;
    std::uint64_t beginning_ = 1;
    // Items.
    std::deque<std::string> items_;
    std::deque<completion<item>> readers_;  // not while there are items
    std::string part_;                      // of a large item
    std::uint64_t part_total_ = 0;          // 0: there is none
    std::uint64_t part_size_ = 0;           // how much of it has come
    std::int64_t credit_ = stream_window;   // that the worker has
    std::size_t used_ = 0;                  // of it, and not given back
    bool dropping_ = false;
    bool cancelling_ = false;
    bool items_came_ = false;
    // Input.
    std::deque<std::shared_ptr<const std::string>> input_;  // from the first one that the worker has not used
    std::size_t sent_ = 0;                                  // so many of them were sent whole
    std::size_t offset_ = 0;                                // and so much of the next one
    std::size_t sent_cost_ = 0;                             // of those that were sent and not used
    std::size_t grant_rest_ = 0;                            // of grants, beyond whole items
    std::int64_t input_credit_ = stream_window;             // that callers have
    std::deque<std::shared_ptr<sender>> senders_;           // not while there is credit
    bool finished_ = false;
    bool finish_sent_ = false;
    bool input_used_ = false;
    // The end.
    bool ended_ = false;
    bool end_told_ = false;
    std::optional<result<value>> outcome_;
    completion<result<value>> end_waiter_;
};

}  // namespace snakepit::detail
