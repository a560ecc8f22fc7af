#include "stress/chaos/run.hpp"

#include "stress/chaos/disturbance.hpp"
#include "stress/chaos/leftovers.hpp"
#include "stress/chaos/load.hpp"
#include "stress/chaos/map_checker.hpp"
#include "stress/chaos/map_load.hpp"
#include "stress/chaos/session_checker.hpp"
#include "stress/chaos/session_load.hpp"
#include "stress/chaos/stream_checker.hpp"
#include "stress/chaos/stream_load.hpp"
#include "support/surroundings.hpp"

#include <fmt/format.h>
#include <grpc/grpc.h>

#include <unistd.h>
#include <algorithm>
#include <array>
#include <asio/co_spawn.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <thread>

namespace snakepit::chaos {
namespace {

using namespace std::chrono_literals;
using test::slow;

constexpr unsigned callers = 16;
constexpr int threads = 4;
constexpr int tasks = 8;
constexpr auto grace = 1s * slow;          // from a deadline to its caller
constexpr auto last_answers = 15s * slow;  // longer than any deadline
constexpr auto recovery = 15s * slow;      // from the last blow to full capacity
// The launcher looks for orphans every 5 s, and buries at the second look; a worker that is replaced leaves more of
// them.
constexpr auto tidying = 20s * slow;

const std::string marker_name = "SNAKEPIT_TEST_MARKER";

lane_kind lane_of(const settings& how) { return how.seed % 4 == 0 ? lane_kind::iterator : lane_kind::automatic; }
start_method method_of(const settings& how) { return how.seed % 8 == 5 ? start_method::spawn : start_method::fork; }
/// Calls that a worker runs beside each other.
std::size_t at_once(const settings& how) {
    const auto p = profile_of(how);
    if (p == worker_profile::process) return 1;
    return p == worker_profile::thread ? threads : tasks;
}

bool serves(const worker_stats& w) { return w.state == worker_state::ready || w.state == worker_state::executing; }

asio::awaitable<bool> comes_true(std::function<bool()> holds, clock::duration limit) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    for (const auto until = clock::now() + limit; !holds();) {
        if (clock::now() > until) co_return false;
        timer.expires_after(5ms);
        co_await timer.async_wait(asio::use_awaitable);
    }
    co_return true;
}

class session {
public:
    session(const settings& how, const test::temporary_directory& scratch, const std::string& marker,
            asio::io_context& io)
        : how_(how),
          journal_(scratch.write("journal", "")),
          on_(asio::make_strand(io)),
          pool_(io.get_executor(), options(marker)),
          log_(std::make_shared<call_log>()),
          load_(std::make_shared<load>(pool_, log_, on_)),
          streams_(std::make_shared<stream_load>(pool_, log_, on_)),
          maps_(std::make_shared<map_load>(pool_, log_, on_)),
          sessions_(std::make_shared<session_load>(pool_, load_, on_)) {}

    [[nodiscard]] const strand& on() const { return on_; }

    static asio::awaitable<void> run(session& self, findings& into) {
        const auto up = co_await self.pool_.start();
        if (!up) throw std::runtime_error("the pool does not start: " + up.error().full());
        const auto descriptors_at_first = test::descriptors_of(::getpid()).size();

        self.begin(self.how_.seed);
        auto trouble = std::make_shared<disturbance>(self.pool_, self.load_, self.on_);
        auto schedule = make_schedule(self.how_.seed, self.how_.length);
        co_await disturbance::run(trouble, std::move(schedule));
        self.end();
        into.done = trouble->done();
        const std::function<bool()> all_have_ended = [&] { return self.open() == 0; };
        co_await comes_true(all_have_ended, last_answers);

        co_await recover(self, into);
        co_await come_to_rest(self, into, descriptors_at_first);
        co_await session_load::look_at_all(self.sessions_);
        co_await stop_under_load(self, into);
        into.told = self.pool_.stats();
        const auto& s = into.told;
        into.seen.pool = {s.submitted, s.succeeded, s.failed, s.cancelled, s.expired};
    }

    /// Once everything has ended: nothing is on its way to the records any more.
    void write_down(findings& into) {
        into.seen.calls = std::move(log_->calls());
        into.seen.work = read_journal(journal_);
        into.seen.runs = marks_of(into.seen.work);
        into.streams = std::move(streams_->streams());
        into.maps = std::move(maps_->maps());
        into.sessions = std::move(sessions_->log().seen);
        for (auto& c : into.sessions.calls) {
            const auto run = into.seen.runs.find(c.id);
            c.has_run = run != into.seen.runs.end() && run->second.begun > 0;
            c.may_have_run = c.has_run || at_once(how_) > 1;
        }
        into.violations = std::move(sessions_->log().surprises);
    }

private:
    void begin(std::uint64_t seed) {
        load_->begin(seed, callers);
        streams_->begin(seed);
        maps_->begin(seed);
        sessions_->begin(seed);
    }
    void end() {
        load_->end();
        streams_->end();
        maps_->end();
        sessions_->end();
    }
    /// Calls that have not ended, and those who make them.
    [[nodiscard]] std::size_t open() const {
        return log_->open() + streams_->open() + maps_->open() + sessions_->open();
    }

    [[nodiscard]] pool_options options(const std::string& marker) const {
        pool_options o;
        o.module = "chaos_tools";
        o.python_path = {std::string(std::getenv("SNAKEPIT_TEST_SOURCES")) + "/stress/chaos/py"};
        o.environment = {{marker_name, marker}, {"SNAKEPIT_CHAOS_JOURNAL", journal_.string()}};
        o.workers.min = static_cast<int>(how_.workers);
        o.calls_per_worker = 16;
        o.profile = profile_of(how_);
        o.threads_per_worker = threads;
        o.max_concurrency = tasks;
        o.lane = lane_of(how_);
        o.start_method = method_of(how_);
        o.start_timeout = 20s * slow;
        o.cancel_grace = 300ms * slow;
        o.heartbeat = {.interval = 100ms, .timeout = 200ms * slow, .max_missed = 3, .initial_delay = 0ms};
        o.lifecycle.max_memory_growth_bytes = std::uint64_t{96} << 20;
        o.lifecycle.max_calls = 3'000;
        o.restart_backoff.first = 5ms;
        o.restart_backoff.longest = 100ms;
        o.restart_limit.per_worker = 1'000'000;  // what is planned here is no reason to give up
        o.restart_limit.per_pool = 1'000'000;
        return o;
    }

    /// All workers serve again, and each does.
    static asio::awaitable<void> recover(session& self, findings& into) {
        const auto size = static_cast<int>(self.how_.workers);
        if (const auto back = co_await self.pool_.resize({.min = size, .max = size}); !back)
            into.not_restored.push_back("resize: " + back.error().full());
        const std::function<bool()> all_serve = [&] {
            const auto s = self.pool_.stats();
            return s.degraded.empty() && s.workers.size() == self.how_.workers &&
                   std::all_of(s.workers.begin(), s.workers.end(), serves);
        };
        if (!co_await comes_true(all_serve, recovery))
            for (const auto& w : self.pool_.stats().workers)
                if (!serves(w))
                    into.not_restored.push_back(fmt::format("{} (pid {}) is {}; its last end: {}", w.id, w.pid,
                                                            to_string(w.state), w.last_exit));
        std::set<int> served;
        const auto until = clock::now() + recovery;
        while (served.size() < self.how_.workers && clock::now() < until) {
            // As many at once as there are workers go to one each.
            unsigned open = self.how_.workers;
            const load::listener then = [&](const call_record&, const result<reply>& got) {
                --open;
                if (got) served.insert(got->result.get<int>());
            };
            for (auto i = open; i > 0; --i) self.load_->make({"where", 50, 10s, {}}, then);
            const std::function<bool()> all_are_back = [&] { return open == 0; };
            if (!co_await comes_true(all_are_back, last_answers)) break;
        }
        if (served.size() < self.how_.workers)
            into.not_restored.push_back(fmt::format("of {} workers only {} answer", self.how_.workers, served.size()));
    }

    /// No more descriptors than after the start, no zombies: what leaks here would go with the pool, unseen.
    static asio::awaitable<void> come_to_rest(session& self, findings& into, std::size_t descriptors_at_first) {
        const auto launchers = test::children_of(::getpid());
        const auto unrest = [&] {
            std::vector<std::string> found;
            const auto now = test::descriptors_of(::getpid());
            if (now.size() > descriptors_at_first)
                found.push_back(fmt::format("{} descriptors, and {} at the start", now.size(), descriptors_at_first));
            for (const auto& l : launchers)
                for (const auto& z : zombies_of(l.pid)) found.push_back(z);
            if (const auto s = self.pool_.stats(); s.queued != 0 || s.in_flight != 0)
                found.push_back(
                    fmt::format("{} calls queued and {} in flight that nobody makes", s.queued, s.in_flight));
            for (const auto& w : self.pool_.stats().workers)
                if (w.outstanding != 0) found.push_back(fmt::format("{} holds {} calls", w.id, w.outstanding));
            return found;
        };
        const std::function<bool()> at_rest = [&] { return unrest().empty(); };
        if (!co_await comes_true(at_rest, tidying))
            for (auto& what : unrest()) into.not_restored.push_back(std::move(what));
        into.rest.lines = read_journal(self.journal_).size();
        for (const auto& w : self.pool_.stats().workers) into.rest.idle.insert(w.pid);
    }

    /// In the middle of calls: they too end once.
    static asio::awaitable<void> stop_under_load(session& self, findings& into) {
        self.begin(self.how_.seed + 1);
        const auto enough = self.log_->calls().size() + 20 * callers;
        const std::function<bool()> is_busy = [&] { return self.log_->calls().size() >= enough; };
        co_await comes_true(is_busy, last_answers);
        self.log_->expect_stop();
        self.end();
        const auto down = co_await self.pool_.stop();
        if (!down) into.not_restored.push_back("stop: " + down.error().full());
        const std::function<bool()> all_have_ended = [&] { return self.open() == 0; };
        co_await comes_true(all_have_ended, last_answers);
    }

    const settings& how_;
    std::filesystem::path journal_;
    strand on_;
    pool pool_;
    std::shared_ptr<call_log> log_;
    std::shared_ptr<load> load_;
    std::shared_ptr<stream_load> streams_;
    std::shared_ptr<map_load> maps_;
    std::shared_ptr<session_load> sessions_;
};

void judge(findings& what, std::size_t at_once) {
    const auto add = [&what](std::vector<violation> more) {
        what.violations.insert(what.violations.end(), more.begin(), more.end());
    };
    add(check(what.seen, {.grace = grace, .at_once = at_once}));
    add(check_work(what.seen.work, what.rest, {.at_once = at_once}));
    add(check_streams(what.streams));
    add(check_maps(what.maps));
    add(check_variables(what.sessions));
    add(check_lives(what.sessions));
    add(check_affinity(what.sessions));
}

}  // namespace

worker_profile profile_of(const settings& how) {
    constexpr std::array all = {worker_profile::process, worker_profile::thread, worker_profile::async};
    return how.profile.value_or(all[how.seed / 8 % all.size()]);
}
std::string_view name_of(worker_profile p) {
    if (p == worker_profile::process) return "process";
    return p == worker_profile::thread ? "thread" : "async";
}

std::string setup_of(const settings& how) {
    return fmt::format("{} workers, {}, {}, {} lane", how.workers, name_of(profile_of(how)),
                       method_of(how) == start_method::spawn ? "spawned" : "forked",
                       lane_of(how) == lane_kind::iterator ? "iterator" : "automatic");
}

findings run(const settings& how) {
    ::grpc_init();  // makes descriptors at its first use, and keeps them
    findings found;
    const test::temporary_directory scratch;
    const test::temporary_directory runtime;
    ::setenv("XDG_RUNTIME_DIR", runtime.path().c_str(), 1);
    const auto marker = std::to_string(::getpid());
    const possessions before(marker_name + "=" + marker, runtime.path());
    {
        asio::io_context io;
        session all(how, scratch, marker, io);
        std::exception_ptr failed;
        asio::co_spawn(all.on(), session::run(all, found), [&failed](std::exception_ptr e) { failed = std::move(e); });
        std::thread second([&io] { io.run(); });  // so that what is not ordered comes in any order
        io.run();
        second.join();
        if (failed) std::rethrow_exception(failed);
        all.write_down(found);
    }
    // gRPC closes its end of a connection on a thread of its own.
    test::eventually([&before] { return before.left().empty(); }, 2s * slow);
    found.left_behind = before.left();
    ::grpc_shutdown();
    judge(found, at_once(how));
    return found;
}

}  // namespace snakepit::chaos
