#pragma once
// One start of one worker: its process, its pipes, its connection, and all that they have to say.

#include "capsule/mailbox.hpp"
#include "capsule/output_events.hpp"
#include "capsule/recycling_gate.hpp"
#include "capsule/restart_budget.hpp"
#include "pool/health.hpp"
#include "process/output_tail.hpp"
#include "process/strays.hpp"
#include "process/worker_source.hpp"
#include "telemetry/event_bus.hpp"
#include "telemetry/redactor.hpp"
#include "telemetry/span.hpp"
#include "wire/attachment.hpp"
#include "wire/endpoint.hpp"

#include <snakepit/error.hpp>
#include <snakepit/options.hpp>

#include <asio/posix/stream_descriptor.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace snakepit::detail {

/// What a life hears beside what its connection says.
namespace heard {
struct exited {};  ///< by pidfd
struct status {
    std::optional<int> wait_status;  ///< by the launcher, soon after exited; nothing when it can no longer tell
};
struct report {
    value what;  ///< why the worker cannot start, in its own words
};
struct told_to_retire {};  ///< by its capsule, when it has finished what it holds
struct told_to_end {};     ///< by its capsule, in order
struct hurry {};           ///< what it drains has taken long enough
struct given_up {
    restart_reason reason;           ///< its capsule does not trust it any more
    std::string why;                 ///< the same in words
    bool others_may_finish = false;  ///< that is because of one call only
};
}  // namespace heard

using life_event = std::variant<attachment_event, heard::exited, heard::status, heard::report, heard::told_to_retire,
                                heard::told_to_end, heard::hurry, heard::given_up>;
using life_mailbox = mailbox<life_event>;

class desk;

/// What every capsule of a group shares; all but board, answers, health, restarts and gate with those of the others.
struct pool_services {
    asio::any_io_executor on;
    pool_options options;  ///< as they are for the group
    std::string worker_prefix;
    std::vector<std::string> groups;       ///< the names of all; empty: the group has all tools
    std::vector<std::string> python_path;  ///< absolute
    std::shared_ptr<ledger> book;
    std::shared_ptr<worker_source> source;
    std::shared_ptr<endpoint> door;
    std::shared_ptr<switchboard> board;
    std::shared_ptr<desk> answers;
    std::shared_ptr<pool_health> health;
    std::shared_ptr<restart_budget> restarts;  ///< of all workers together
    std::shared_ptr<recycling_gate> gate;
    std::shared_ptr<event_bus> events;
    std::shared_ptr<span_sink> spans{};                      ///< null: nothing is traced
    std::shared_ptr<const redactor> redact_with{};           ///< of what workers print and log
    std::shared_ptr<const std::atomic<int>> python_level{};  ///< from which on records of Python's logging are wanted
};

/** Feeds the mailbox of its life until `close`.

    @par Thread safety  use it on the capsule's strand, `kill` from any thread */
class incarnation : public std::enable_shared_from_this<incarnation> {
public:
    using strand = asio::strand<asio::any_io_executor>;

    incarnation(strand on, std::shared_ptr<const pool_services> pool, std::shared_ptr<life_mailbox> to);

    /// Starts the process and tells it what to do. @return  or errc::launch_failed, python_unfit, pool_stopped
    [[nodiscard]] static asio::awaitable<result<void>> start(std::shared_ptr<incarnation> self, std::string worker,
                                                             std::uint64_t number);

    [[nodiscard]] attachment& connection() noexcept { return *connection_; }
    [[nodiscard]] const std::shared_ptr<attachment>& connection_ptr() const noexcept { return connection_; }
    [[nodiscard]] int pid() const noexcept { return pid_; }
    /// Any thread. Through the pidfd, so never another process.
    void kill(int signal) noexcept;
    /// Has faulthandler write the stacks of its threads.
    void ask_for_dump();
    /// The last lines of stdout and stderr, all that was written until now.
    [[nodiscard]] std::string output();
    /// Lines that came too fast are told of at least now and then.
    void tell_of_dropped_output();
    /// What it leaves when it ends.
    [[nodiscard]] const page& left() const noexcept { return *left_; }
    /// What the worker said on its launch socket, if it has not been heard yet.
    [[nodiscard]] std::optional<value> last_report();
    /// Stops to listen, cuts the connection, lets go of the life-line.
    void close(const std::string& why);

private:
    void watch_exit();
    void watch_report();
    void tell(life_event e);

    const strand on_;
    const std::shared_ptr<const pool_services> pool_;
    const std::shared_ptr<life_mailbox> mail_;
    bool closed_ = false;
    int pid_ = 0;
    const stray_mark mark_ = random_mark();
    std::atomic<bool> launcher_lost_ = false;  // nobody but us ends what this worker leaves
    std::optional<asio::posix::stream_descriptor> exit_watch_;
    std::optional<asio::posix::stream_descriptor> launch_;
    fork_shield exit_shield_;
    fork_shield launch_shield_;
    std::string report_;
    std::optional<page> left_;
    std::vector<std::shared_ptr<output_events>> output_events_;
    std::shared_ptr<output_tail> out_;
    std::shared_ptr<output_tail> err_;
    std::shared_ptr<attachment> connection_;

    std::mutex mutex_;
    shielded_fd pidfd_;
    shielded_fd life_line_;
};

}  // namespace snakepit::detail
