#pragma once
// The connection of one incarnation of one worker: its credentials, its two streams, and the axe.

#include "pool/line.hpp"
#include "pool/switchboard.hpp"
#include "process/fork_shield.hpp"
#include "process/page.hpp"
#include "process/unique_fd.hpp"
#include "telemetry/span.hpp"
#include "wire/hello.hpp"
#include "wire/token.hpp"

#include <snakepit/error.hpp>
#include <snakepit/stats.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace snakepit::v1 {
class ControlDown;
}

namespace snakepit::detail {

class control_stream;
class desk;
class work_stream;

/// What a connection has to say to its capsule.
namespace heard {
struct connected {};  ///< the worker has dialled; hello is due
struct hello {
    result<worker_hello> what;  ///< its first message, checked
};
struct pong {
    std::uint64_t sequence = 0;
    std::uint64_t resident_bytes = 0;
    std::uint64_t begun_id = 0;               ///< the last call that was begun
    std::chrono::microseconds running_for{};  ///< that one; 0: it has ended
    std::optional<std::array<gc_stats, 3>> gc = std::nullopt;
};
struct loop_blocked {
    std::chrono::microseconds so_far{};
    std::string by;
    std::string stack;  ///< empty: it turns again
};
/// What Python's logging has.
struct log_record {
    std::chrono::system_clock::time_point time;
    int level = 0;  ///< Python's
    std::string logger;
    std::string message;
    std::uint64_t call = 0;  ///< 0: none
    std::string tool;
    std::string trace_id;
    std::string span_id;
    std::vector<std::pair<std::string, std::string>> fields;
};
struct telemetry {
    std::vector<log_record> logs;
    std::vector<span> spans;
    std::uint64_t dropped_logs = 0;
    std::uint64_t dropped_spans = 0;
};
struct slow_call {
    std::uint64_t id = 0;
    std::chrono::microseconds running_for{};
    std::string tool;
    std::string trace_id;
    std::string stack;
};
struct stacks {
    std::uint64_t number = 0;
    std::string text;
};
struct served {};         ///< as many calls as were agreed upon
struct asked_to_stop {};  ///< the worker was told that calls are not wanted any more
struct work_open {};      ///< the Work stream is there: calls can go
struct work_ended {};     ///< nothing more will come on it
struct control_ended {};  ///< likewise
struct broken {
    std::string why;      ///< a stream ended, or the worker broke the protocol; once
    bool breach = false;  ///< the latter
};
}  // namespace heard

using attachment_event =
    std::variant<heard::connected, heard::hello, heard::pong, heard::loop_blocked, heard::telemetry, heard::slow_call,
                 heard::stacks, heard::served, heard::asked_to_stop, heard::work_open, heard::work_ended,
                 heard::control_ended, heard::broken>;

/** Expected from the moment the worker is started; bound to the first connection from its pid.

    @par Thread safety  every member from any thread */
class attachment final : public lane, public std::enable_shared_from_this<attachment> {
public:
    struct identity {
        std::string worker;
        std::uint64_t incarnation = 0;
        int pid = 0;
        token secret;
    };
    struct limits {
        int max_calls = 1;
        std::size_t max_message_bytes = 0;
        std::chrono::microseconds slow_call{};  ///< 0: none is
        bool wants_spans = false;
    };

    /// @param tell  called for each event, on gRPC's threads or the caller's: hand over and leave
    attachment(identity who, limits allowed, std::shared_ptr<switchboard> board, std::shared_ptr<desk> answers,
               page::revocations revoked, std::function<void(attachment_event)> tell);
    ~attachment() override;

    [[nodiscard]] const identity& who() const noexcept { return who_; }

    // For the endpoint.

    /// The one connection of this worker. @return false when there was one before
    bool bind(unique_fd for_cut);
    /// Checks the metadata of a stream from that connection and takes its place. @return the reason of a refusal
    [[nodiscard]] std::string admit_control(std::string_view worker, std::string_view incarnation,
                                            std::string_view secret, std::shared_ptr<control_stream> stream);
    [[nodiscard]] std::string admit_work(std::string_view worker, std::string_view incarnation, std::string_view secret,
                                         std::shared_ptr<work_stream> stream);

    // For the capsule.

    /// @param spoken_by_worker  its minor version; the smaller of the two is spoken
    /// @param log_level         Python's level from which on its records are sent
    void welcome(std::uint32_t spoken_by_worker, int log_level);
    /// Says why, then the worker goes by itself.
    void refuse(const error& why);
    /// Calls that the switchboard gives to this line leave through here.
    void carry(std::shared_ptr<line> l);
    /// Finish what came until `last_id`, then exit.
    void drain(std::uint64_t last_id);
    /// As drain, but do not begin anything.
    void stop(std::uint64_t last_id);
    /// Asks for a pong.
    void ping(std::uint64_t sequence);
    /// Asks for the stacks of its threads.
    void ask_for_stacks(std::uint64_t number);
    /// @param python_level  from which on records are sent
    void set_log_level(int python_level);
    /// Ends both streams for certain, also when a write is stuck.
    void cut(const std::string& why);

    // The lane.

    void flush() override;
    void cancel(const std::vector<std::uint64_t>& ids) override;
    void recall(const std::vector<std::uint64_t>& ids) override;
    void served() override { tell_(heard::served{}); }

private:
    friend class control_stream;
    friend class work_stream;

    [[nodiscard]] std::string check(std::string_view worker, std::string_view incarnation,
                                    std::string_view secret) const;
    void send(const v1::ControlDown& message);
    [[nodiscard]] std::shared_ptr<work_stream> work();
    void report_broken(const std::string& why, bool breach = false);

    const identity who_;
    const limits allowed_;
    const std::shared_ptr<switchboard> board_;
    const std::shared_ptr<desk> desk_;
    const page::revocations revoked_;
    const std::function<void(attachment_event)> tell_;

    std::mutex mutex_;
    bool bound_ = false;
    bool broken_ = false;
    bool welcomed_ = false;
    shielded_fd for_cut_;
    std::shared_ptr<control_stream> control_;
    std::shared_ptr<work_stream> work_;
    bool had_control_ = false;
    bool had_work_ = false;
};

}  // namespace snakepit::detail
