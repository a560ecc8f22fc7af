// What the heartbeat, the grace of a cancelled call and the restart budget make of workers. (C12, C17, S4, S7, S8)

#include "pool/pool_impl.hpp"
#include "support/pool_fixture.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <csignal>

namespace snakepit::test {
namespace {

class Supervision : public PoolTest {
protected:
    [[nodiscard]] pool_options watched(int workers = 1) const {
        auto how = options("stubborn");
        how.workers.min = workers;
        how.restart_backoff.first = 5ms;
        how.heartbeat = {.interval = 50ms, .timeout = 50ms * slow, .max_missed = 3, .initial_delay = 0ms, .jitter = 0};
        return how;
    }
    static worker_stats worker(const pool& p, std::size_t i = 0) { return p.stats().workers.at(i); }
    static bool is(const pool& p, worker_state s, std::size_t i = 0) { return worker(p, i).state == s; }
};

TEST_F(Supervision, AHeartbeatTellsLatencyAndMemory) {
    with_pool(watched(), [](pool& p) -> awaitable<> {
        CO_ASSERT(co_await comes_true([&] { return worker(p).heartbeat.latency_p99.count() > 0; }));
        const auto beat = worker(p).heartbeat;
        EXPECT_GT(beat.latency.count(), 0);
        EXPECT_GT(beat.resident_bytes, 1'000'000u);
        EXPECT_EQ(beat.missed, 0u);
    });
}

TEST_F(Supervision, BusyIsNotDead) {
    with_pool(
        watched(),
        [](pool& p) -> awaitable<> {
            const auto first = worker(p).pid;
            std::optional<result<value>> outcome;
            async_execute(p, "crunch", 300'000'000, call_options().timeout(call_options::no_timeout),
                          [&](result<value> r) { outcome = std::move(r); });
            CO_ASSERT(co_await comes_true([&] { return worker(p).heartbeat.busy > 4; }, 20s * slow));
            CO_ASSERT(co_await comes_true([&] { return outcome.has_value(); }, 60s * slow));
            CO_ASSERT_OK(*outcome);
            EXPECT_EQ(worker(p).pid, first);
            EXPECT_EQ(worker(p).incarnation, 1u);
        },
        90s * slow);
}

TEST_F(Supervision, AHungWorkerIsDumpedAndReplaced) {
    with_pool(watched(), [](pool& p) -> awaitable<> {
        const value nothing = value::array();  // named: g++ 12
        const auto lost = co_await p.execute("hang", nothing, call_options().timeout(call_options::no_timeout));
        EXPECT_TRUE(failed_saying(lost, errc::worker_lost, "did not answer"));
        CO_ASSERT(!lost && lost.error().exit());
        EXPECT_NE(lost.error().exit()->python_stack.find("in hang"), std::string::npos) << lost.error();
        CO_ASSERT_OK(co_await p.execute("echo", 1));
        EXPECT_EQ(worker(p).incarnation, 2u);
        EXPECT_EQ(worker(p).restarts, 1u);
        EXPECT_NE(worker(p).last_exit.find("did not answer"), std::string::npos) << worker(p).last_exit;
    });
}

/// A pipe with a name: who reads from it waits until it is written to.
class named_pipe {
public:
    explicit named_pipe(fs::path path) : path_(std::move(path)) {
        EXPECT_EQ(::mkfifo(path_.c_str(), 0600), 0);
        end_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);  // both ends are there: nobody waits in open
    }
    ~named_pipe() { ::close(end_); }
    named_pipe(const named_pipe&) = delete;
    named_pipe& operator=(const named_pipe&) = delete;

    [[nodiscard]] std::string path() const { return path_.string(); }
    void let_one_go() const { EXPECT_EQ(::write(end_, "x", 1), 1); }

private:
    fs::path path_;
    int end_ = -1;
};

TEST_F(Supervision, AWorkerThatMissesFewInARowIsNotEnded) {
    auto how = watched();
    how.heartbeat.max_missed = 20;
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto first = worker(p).pid;
        const named_pipe way_out(scratch().path() / "way_out");
        // Each time it misses eight or more; all together twice as many as it may in a row.
        for (int i = 0; i < 5; ++i) {
            const auto before = worker(p).heartbeat.missed;
            std::optional<result<value>> outcome;
            async_execute(p, "hang", way_out.path(), call_options(), [&](result<value> r) { outcome = std::move(r); });
            CO_ASSERT(
                co_await comes_true([&] { return worker(p).heartbeat.missed >= before + 8 || outcome; }, 20s * slow));
            CO_ASSERT(!outcome);
            EXPECT_TRUE(is(p, worker_state::missed_heartbeat));
            way_out.let_one_go();
            CO_ASSERT(co_await comes_true([&] { return outcome.has_value(); }));
            CO_ASSERT_OK(*outcome);
            CO_ASSERT(co_await comes_true([&] { return is(p, worker_state::ready); }));
        }
        EXPECT_GE(worker(p).heartbeat.missed, 40u);
        EXPECT_EQ(worker(p).pid, first);
        EXPECT_EQ(worker(p).incarnation, 1u) << worker(p).last_exit;
    });
}

TEST_F(Supervision, AStoppedWorkerGetsNoCallsAndIsNotEnded) {
    with_pool(watched(2), [](pool& p) -> awaitable<> {
        const auto asleep = worker(p, 0).pid;
        ::kill(asleep, SIGSTOP);
        CO_ASSERT(co_await comes_true([&] { return is(p, worker_state::missed_heartbeat); }));
        for (int i = 0; i < 100; ++i) EXPECT_EQ((co_await p.call<int>("pid")), worker(p, 1).pid);
        CO_ASSERT(co_await comes_true([&] { return worker(p, 0).heartbeat.missed > 6; }));
        ::kill(asleep, SIGCONT);
        CO_ASSERT(co_await comes_true([&] { return is(p, worker_state::ready); }));
        EXPECT_EQ(worker(p, 0).pid, asleep);
        EXPECT_EQ(worker(p, 0).incarnation, 1u);
    });
}

/// Gives a worker's threads what is left of one processor by others that never rest.
class crowded_processor {
public:
    crowded_processor() {
        CPU_ZERO(&one_);
        cpu_set_t allowed;
        ::sched_getaffinity(0, sizeof allowed, &allowed);
        int first = 0;
        while (!CPU_ISSET(first, &allowed)) ++first;
        CPU_SET(first, &one_);
        char program[] = "sh";
        char option[] = "-c";
        char forever[] = "ulimit -t 120; while :; do :; done";
        char* const arguments[] = {program, option, forever, nullptr};
        for (auto& pid : others_) {
            EXPECT_EQ(::posix_spawnp(&pid, "sh", nullptr, nullptr, arguments, environ), 0);
            EXPECT_EQ(::sched_setaffinity(pid, sizeof one_, &one_), 0);
        }
    }
    ~crowded_processor() { clear(); }
    crowded_processor(const crowded_processor&) = delete;
    crowded_processor& operator=(const crowded_processor&) = delete;

    void put(int worker) const {
        constexpr sched_param none{};
        for (const auto& thread : fs::directory_iterator("/proc/" + std::to_string(worker) + "/task")) {
            const int id = std::stoi(thread.path().filename());
            EXPECT_EQ(::sched_setscheduler(id, SCHED_IDLE, &none), 0);
            EXPECT_EQ(::sched_setaffinity(id, sizeof one_, &one_), 0);
        }
    }
    void clear() {
        for (const pid_t pid : std::exchange(others_, {})) {
            if (pid == 0) continue;
            ::kill(pid, SIGKILL);
            ::waitpid(pid, nullptr, 0);
        }
    }

private:
    cpu_set_t one_{};
    std::array<pid_t, 3> others_{};
};

TEST_F(Supervision, AWorkerThatGetsNoProcessorIsNotEnded) {
    with_pool(
        watched(),
        [](pool& p) -> awaitable<> {
            const auto first = worker(p).pid;
            crowded_processor crowd;
            crowd.put(first);
            CO_ASSERT(co_await comes_true([&] { return worker(p).heartbeat.missed > 10; }, 30s * slow));
            crowd.clear();
            CO_ASSERT_OK(co_await p.execute("echo", 1));
            EXPECT_EQ(worker(p).pid, first);
            EXPECT_EQ(worker(p).incarnation, 1u) << worker(p).last_exit;
        },
        60s * slow);
}

TEST_F(Supervision, ACallThatDoesNotEndWhenItsCallerHasGoneCostsItsWorker) {
    auto how = watched();
    how.cancel_grace = 200ms;
    how.calls_per_worker = 1;
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto begun = scratch().path() / "begun";
        for (const bool by_deadline : {false, true}) {
            fs::remove(begun);
            const auto before = worker(p).incarnation;
            asio::cancellation_signal cancel;
            std::optional<result<value>> outcome;
            const value arguments = list(begun.string(), 60.0);
            const auto options = by_deadline ? call_options().timeout(500ms * slow) : call_options();
            async_execute(
                p, "ignore", arguments, options,
                asio::bind_cancellation_slot(cancel.slot(), [&](result<value> r) { outcome = std::move(r); }));
            CO_ASSERT(co_await comes_true([&] { return fs::exists(begun); }));
            if (!by_deadline) cancel.emit(asio::cancellation_type::terminal);
            CO_ASSERT(co_await comes_true([&] { return outcome.has_value(); }));
            EXPECT_TRUE(failed_with(*outcome, by_deadline ? errc::deadline_exceeded : errc::cancelled));
            EXPECT_EQ(worker(p).outstanding, 1u) << "its place is free only when it has ended";
            CO_ASSERT_OK(co_await p.execute("echo", 1, call_options().timeout(5s * slow)));
            EXPECT_EQ(worker(p).incarnation, before + 1);
        }
    });
}

TEST_F(Supervision, AWorkerThatEndsTooOftenIsOutOfServiceAndTriedAgain) {
    auto how = watched(2);
    how.restart_limit.per_worker = 2;
    how.restart_backoff.longest = 500ms;
    with_pool(how, [](pool& p) -> awaitable<> {
        for (int i = 0; i < 3; ++i) {
            CO_ASSERT(co_await comes_true([&] { return worker(p).pid != 0 && is(p, worker_state::ready); }));
            ::kill(worker(p).pid, SIGKILL);
            CO_ASSERT(co_await comes_true([&] { return worker(p).incarnation == 1u + i && worker(p).pid == 0; }));
        }
        CO_ASSERT(co_await comes_true([&] { return is(p, worker_state::dead); }));
        EXPECT_NE(p.stats().degraded.find("w0: restarted too often"), std::string::npos) << p.stats().degraded;
        EXPECT_NE(p.stats().degraded.find("SIGKILL"), std::string::npos) << p.stats().degraded;
        CO_ASSERT_OK(co_await p.execute("echo", 1));  // by the other one
        CO_ASSERT(co_await comes_true([&] { return is(p, worker_state::ready); }));
        EXPECT_EQ(p.stats().degraded, "");
    });
}

TEST_F(Supervision, WorkersThatTogetherEndTooOftenCostTheLastOfThem) {
    auto how = watched(4);
    how.restart_limit.per_worker = 1'000;
    how.restart_limit.per_pool = 3;
    how.restart_backoff.longest = 500ms;
    with_pool(how, [](pool& p) -> awaitable<> {
        for (std::size_t i = 0; i < 3; ++i) {
            ::kill(worker(p, i).pid, SIGKILL);
            CO_ASSERT(
                co_await comes_true([&] { return worker(p, i).incarnation == 2 && is(p, worker_state::ready, i); }));
        }
        EXPECT_EQ(p.stats().degraded, "");
        ::kill(worker(p, 3).pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return is(p, worker_state::dead, 3); }));
        const auto degraded = p.stats().degraded;
        EXPECT_NE(degraded.find("w3: restarted too often"), std::string::npos) << degraded;
        EXPECT_NE(degraded.find("3 for the pool"), std::string::npos) << degraded;
        for (std::size_t i = 0; i < 3; ++i) {
            EXPECT_TRUE(serves(worker(p, i))) << i;
            EXPECT_EQ(degraded.find("w" + std::to_string(i)), std::string::npos) << degraded;
        }
        CO_ASSERT_OK(co_await p.execute("echo", 1));
        CO_ASSERT(co_await comes_true([&] { return is_whole(p); }));
        EXPECT_EQ(p.stats().degraded, "");
        EXPECT_EQ(worker(p, 3).incarnation, 2u) << "the first probe did it";
    });
}

TEST_F(Supervision, WhatWasPlannedIsNoRestart) {
    auto how = watched();
    how.restart_limit.per_worker = 1;
    how.restart_limit.per_pool = 1;
    with_pool(how, [](pool& p) -> awaitable<> {
        for (int i = 0; i < 5; ++i) {
            CO_ASSERT_OK(co_await p.recycle("w0"));
            const worker_count more{2, 2};
            CO_ASSERT_OK(co_await p.resize(more));
            const worker_count again{1, 1};
            CO_ASSERT_OK(co_await p.resize(again));
        }
        EXPECT_EQ(worker(p).restarts, 0u);
        EXPECT_EQ(p.stats().degraded, "");
        const auto before = worker(p);
        ::kill(before.pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return worker(p).restarts == 1; }));
        CO_ASSERT_OK(co_await p.execute("echo", 1));
        EXPECT_EQ(worker(p).incarnation, before.incarnation + 1) << "the budget was whole";
    });
}

TEST_F(Supervision, APoolOfWhichNothingWorksRefusesCallsUntilSomethingDoes) {
    auto how = watched();
    how.restart_limit.per_worker = 1;
    how.restart_backoff.longest = 2s;
    how.calls_per_worker = 1;
    with_pool(how, [this](pool& p) -> awaitable<> {
        ::kill(worker(p).pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return worker(p).incarnation == 2 && is(p, worker_state::ready); }));
        std::optional<result<value>> held;
        const auto begun = scratch().path() / "begun";
        async_execute(p, "ignore", list(begun.string(), 60.0), call_options(),
                      [&](result<value> r) { held = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return fs::exists(begun); }));
        std::optional<result<value>> waiting;
        async_execute(p, "echo", 1, call_options(), [&](result<value> r) { waiting = std::move(r); });
        ::kill(worker(p).pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return held && waiting; }));
        EXPECT_TRUE(failed_with(*held, errc::worker_lost));
        EXPECT_TRUE(failed_saying(*waiting, errc::pool_degraded, "every worker is out of service", "SIGKILL"));
        const auto refused = co_await p.execute("echo", 1);
        EXPECT_TRUE(failed_with(refused, errc::pool_degraded));
        CO_ASSERT(!refused);
        EXPECT_EQ(refused.error().code(), failure::retry_elsewhere);
        CO_ASSERT(co_await comes_true([&] { return is(p, worker_state::ready); }));
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Supervision, ASecondStopEndsTheDraining) {
    auto how = watched();
    how.drain_timeout = 1h;
    how.stop_grace = 100ms;
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        CO_ASSERT_OK(co_await p.start());
        const auto begun = scratch().path() / "begun";
        std::optional<result<value>> held;
        const value arguments = list(begun.string(), 60.0);
        async_execute(p, "ignore", arguments, call_options(), [&](result<value> r) { held = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return fs::exists(begun); }));
        std::optional<result<void>> down;
        async_stop(p, [&](result<void> r) { down = std::move(r); });
        co_await wait_for(200ms);
        EXPECT_FALSE(down || held);
        CO_ASSERT_OK(co_await p.stop());
        CO_ASSERT(held && down);
        EXPECT_TRUE(failed_with(*held, errc::pool_stopped));
        EXPECT_OK(*down);
    });
}

TEST_F(Supervision, WorkersTellHowOldTheyAreAndWhatTheyAreAt) {
    auto how = watched();
    how.calls_per_worker = 4;
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        EXPECT_TRUE(p.workers().empty());
        CO_ASSERT_OK(co_await p.start());
        const auto now = [&] { return p.workers().at(0); };
        EXPECT_EQ(now().running, "");
        EXPECT_EQ(now().running_for.count(), 0);
        for (int i = 0; i < 3; ++i) CO_ASSERT_OK(co_await p.execute("echo", i));
        EXPECT_EQ(now().calls, 3u);

        const auto begun = scratch().path() / "begun";
        std::optional<result<value>> held;
        const value arguments = list(begun.string(), 0.5);
        async_execute(p, "ignore", arguments, call_options(), [&](result<value> r) { held = std::move(r); });
        async_execute(p, "echo", 1, call_options(), [](result<value>) {});
        CO_ASSERT(co_await comes_true([&] { return now().running_for > 200ms; }));
        EXPECT_EQ(now().running, "ignore");
        EXPECT_LT(now().running_for, now().age);
        EXPECT_EQ(now().outstanding, 1u) << "nothing goes behind a call that may be slow";
        EXPECT_EQ(p.stats().queued, 1u);
        EXPECT_GT(now().heartbeat.resident_bytes, 1'000'000u);
        CO_ASSERT(co_await comes_true([&] { return held && now().calls == 5; }));
        EXPECT_EQ(now().running, "");
        EXPECT_EQ(now().running_for.count(), 0);

        const auto old = now();
        ::kill(old.pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return is(p, worker_state::ready) && worker(p).incarnation == 2; }));
        EXPECT_LT(now().age, old.age);
        EXPECT_EQ(now().calls, 0u);
        EXPECT_EQ(now().total_calls, 5u);
        CO_ASSERT_OK(co_await p.recycle("w0"));
        CO_ASSERT_OK(co_await p.execute("echo", 1));
        EXPECT_EQ(now().calls, 1u);
        EXPECT_EQ(now().total_calls, 6u);
        CO_ASSERT_OK(co_await p.stop());
        EXPECT_EQ(now().total_calls, 6u);
        EXPECT_EQ(now().age.count(), 0);
    });
}

// ---- replacement

class Recycling : public Supervision {
protected:
    /// A worker that is slow to answer is not what these are about, unless they say so with `watched`.
    [[nodiscard]] pool_options patient(int workers = 1) const {
        auto how = watched(workers);
        how.heartbeat.timeout = 5s * slow;
        return how;
    }
    /// Callers that do not pause, until they are told to end.
    struct load {
        bool over = false;
        int running = 0;
        std::uint64_t served = 0;
        std::map<std::string, int> failures;
    };
    static awaitable<> call_on(pool& p, load& of) {
        ++of.running;
        while (!of.over) {
            const auto r = co_await p.execute("echo", of.served);
            ++of.served;
            if (!r) ++of.failures[r.error().full()];
        }
        --of.running;
    }
    static awaitable<> under_load(pool& p, load& of, int callers) {
        const auto on = co_await asio::this_coro::executor;
        for (int i = 0; i < callers; ++i) asio::co_spawn(on, call_on(p, of), [](std::exception_ptr) {});
    }
    static awaitable<> end(load& of) {
        of.over = true;
        EXPECT_TRUE(co_await comes_true([&] { return of.running == 0; }));
        for (const auto& [why, times] : of.failures) ADD_FAILURE() << times << " times: " << why;
    }
};

TEST_F(Recycling, OnDemandCostsNoCall) {
    with_pool(
        patient(2),
        [](pool& p) -> awaitable<> {
            load busy;
            co_await under_load(p, busy, 8);
            for (int i = 0; i < 3; ++i) {
                const auto before = worker(p, 0).pid;
                CO_ASSERT_OK(co_await p.recycle("w0"));
                EXPECT_NE(worker(p, 0).pid, before);
                EXPECT_FALSE(is_alive(before));
            }
            const auto pids = std::pair(worker(p, 0).pid, worker(p, 1).pid);
            CO_ASSERT_OK(co_await p.recycle_all());
            EXPECT_NE(worker(p, 0).pid, pids.first);
            EXPECT_NE(worker(p, 1).pid, pids.second);
            co_await end(busy);
            EXPECT_EQ(worker(p, 0).recycles.at(recycle_reason::asked), 4u);
            EXPECT_EQ(worker(p, 1).recycles.at(recycle_reason::asked), 1u);
            EXPECT_EQ(worker(p, 0).restarts, 0u) << worker(p, 0).last_exit;
        },
        60s * slow);
}

TEST_F(Recycling, LetsTheOldWorkerFinishWhatItHolds) {
    with_pool(patient(), [this](pool& p) -> awaitable<> {
        const auto begun = scratch().path() / "begun";
        std::optional<result<value>> held;
        const value arguments = list(begun.string(), 1.0);
        async_execute(p, "ignore", arguments, call_options(), [&](result<value> r) { held = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return fs::exists(begun); }));
        const auto before = worker(p).pid;
        std::optional<result<void>> recycled;
        async_recycle(p, "w0", [&](result<void> r) { recycled = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return worker(p).pid != before; }));
        EXPECT_FALSE(held) << "the successor serves already";
        EXPECT_EQ((co_await p.call<int>("pid")), worker(p).pid);
        CO_ASSERT(co_await comes_true([&] { return held && recycled; }));
        EXPECT_EQ(*held, true);
        EXPECT_OK(*recycled);
    });
}

TEST_F(Recycling, ReplacesAWorkerThatDoesNotAnswerAtTheMoment) {
    auto how = watched();
    how.drain_timeout = how.stop_grace = 100ms;
    with_pool(how, [](pool& p) -> awaitable<> {
        const auto asleep = worker(p).pid;
        ::kill(asleep, SIGSTOP);
        CO_ASSERT(co_await comes_true([&] { return is(p, worker_state::missed_heartbeat); }));
        CO_ASSERT_OK(co_await p.recycle("w0"));
        EXPECT_FALSE(is_alive(asleep));
        EXPECT_OK(co_await p.execute("echo", 1));
        EXPECT_EQ(worker(p).restarts, 0u);
        EXPECT_EQ(worker(p).recycles.at(recycle_reason::asked), 1u);
    });
}

TEST_F(Recycling, GivesNoCallsToAnOldWorkerThatDoesNotAnswerAnyMore) {
    auto how = watched(2);
    how.warmup = "take_a_second";
    with_pool(how, [](pool& p) -> awaitable<> {
        const auto asleep = worker(p).pid;
        std::optional<result<void>> recycled;
        async_recycle(p, "w0", [&](result<void> r) { recycled = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return is(p, worker_state::recycling); }));
        const auto missed = worker(p).heartbeat.missed;
        ::kill(asleep, SIGSTOP);
        CO_ASSERT(co_await comes_true([&] { return worker(p).heartbeat.missed > missed; }));
        for (int i = 0; i < 20; ++i) EXPECT_NE((co_await p.call<int>("pid")), asleep);
        EXPECT_FALSE(recycled);
        ::kill(asleep, SIGCONT);
        CO_ASSERT(co_await comes_true([&] { return recycled.has_value(); }));
        EXPECT_OK(*recycled);
    });
}

TEST_F(Recycling, IsOfSoManyAtOnceAndThereAreNeverFewerToServe) {
    auto how = patient(4);
    how.calls_per_worker = 1;
    how.lifecycle.max_recycling = 2;
    with_pool(how, [](pool& p) -> awaitable<> {
        int extra = 0;  // workers, old or new, above those that the pool has
        int most = 0;
        const auto ear = p.events().subscribe(event_filter(), [&](const event& e) {
            if (const auto* m = std::get_if<happened::worker_moved>(&e.what);
                m && m->from != m->to && m->to == worker_state::recycling)
                most = std::max(most, ++extra);
            else if (std::holds_alternative<happened::worker_ended>(e.what)) --extra;
        });
        // As many callers as places: a call has to wait when one of these is missing.
        bool over = false;
        int running = 0;
        std::uint64_t served = 0;
        std::uint64_t waited = 0;
        std::function<void()> call = [&] {
            ++running;
            async_execute(p, "echo", 1, call_options(), [&](const result<value>& r) {
                EXPECT_OK(r);
                ++served;
                --running;
                if (!over) call();
            });
            if (p.stats().queued != 0) ++waited;
        };
        for (int i = 0; i < 4; ++i) call();
        for (int i = 0; i < 3; ++i) CO_ASSERT_OK(co_await p.recycle_all());
        over = true;
        CO_ASSERT(co_await comes_true([&] { return running == 0; }));
        EXPECT_EQ(most, 2);
        EXPECT_EQ(extra, 0);
        EXPECT_EQ(waited, 0u) << "of " << served;
        for (const auto& w : p.stats().workers) EXPECT_EQ(w.recycles.at(recycle_reason::asked), 3u) << w.id;
    });
}

TEST_F(Recycling, EndsAnOldWorkerThatDoesNotFinishInTime) {
    auto how = patient();
    how.drain_timeout = 100ms;
    how.stop_grace = 100ms;
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto begun = scratch().path() / "begun";
        for (const bool defies_sigterm : {false, true}) {
            SCOPED_TRACE(defies_sigterm);
            fs::remove(begun);
            const auto before = worker(p).pid;
            std::optional<result<value>> held;
            const value arguments = list(begun.string(), 60.0, defies_sigterm);
            async_execute(p, "ignore", arguments, call_options(), [&](result<value> r) { held = std::move(r); });
            CO_ASSERT(co_await comes_true([&] { return fs::exists(begun); }));
            std::vector<result<value>> behind;
            for (int i = 0; i < 5; ++i)
                async_execute(p, "pid", value::array(), call_options(), [&](result<value> r) { behind.push_back(r); });
            CO_ASSERT_OK(co_await p.recycle("w0"));
            CO_ASSERT(co_await comes_true([&] { return held && behind.size() == 5; }));
            EXPECT_TRUE(failed_saying(*held, errc::worker_lost, "was to be replaced", "drain_timeout was over"));
            for (const auto& b : behind) EXPECT_EQ(b, worker(p).pid);
            EXPECT_FALSE(is_alive(before));
            EXPECT_NE(worker(p).last_exit.find(defies_sigterm ? "SIGKILL" : "SIGTERM"), std::string::npos)
                << worker(p).last_exit;
        }
        EXPECT_EQ(worker(p).restarts, 0u);
        EXPECT_EQ(p.stats().failed, 2u);
    });
}

TEST_F(Recycling, ByCallsAndByAge) {
    auto how = patient(2);
    how.lifecycle.max_calls = 200;
    how.lifecycle.max_age = 2s;
    with_pool(
        how,
        [](pool& p) -> awaitable<> {
            load busy;
            co_await under_load(p, busy, 8);
            CO_ASSERT(co_await comes_true(
                [&] {
                    const auto first = worker(p, 0).recycles;
                    const auto second = worker(p, 1).recycles;
                    return first.contains(recycle_reason::calls) && second.contains(recycle_reason::calls);
                },
                20s * slow));
            co_await end(busy);
            CO_ASSERT(
                co_await comes_true([&] { return worker(p).recycles.contains(recycle_reason::age); }, 20s * slow));
            EXPECT_EQ(p.stats().failed, 0u);
        },
        60s * slow);
}

TEST_F(Recycling, ByMemoryThatGrows) {
    auto how = patient();
    how.lifecycle.max_memory_growth_bytes = 64 << 20;
    with_pool(how, [](pool& p) -> awaitable<> {
        CO_ASSERT_OK(co_await p.execute("leak", 20 << 20));
        co_await wait_for(300ms);
        EXPECT_EQ(worker(p).incarnation, 1u);
        CO_ASSERT_OK(co_await p.execute("leak", 80 << 20));
        CO_ASSERT(co_await comes_true([&] { return worker(p).recycles.contains(recycle_reason::memory_growth); }));
        EXPECT_EQ(worker(p).incarnation, 2u);
    });
}

TEST_F(Recycling, ByLatencyThatStaysHigh) {
    auto how = watched();
    how.heartbeat.timeout = 2s * slow;
    how.lifecycle.max_latency = 5ms * slow;
    with_pool(
        how,
        [](pool& p) -> awaitable<> {
            CO_ASSERT_OK(co_await p.execute("drag", 0.04 * slow));
            CO_ASSERT(
                co_await comes_true([&] { return worker(p).recycles.contains(recycle_reason::latency); }, 40s * slow));
            EXPECT_EQ(worker(p).incarnation, 2u);
            EXPECT_EQ(worker(p).restarts, 0u) << worker(p).last_exit;
        },
        60s * slow);
}

TEST_F(Recycling, NotByTheLatencyOfAWorkerThatStoodStillOnce) {
    auto how = watched();
    how.lifecycle.max_latency = 100ms * slow;
    with_pool(how, [](pool& p) -> awaitable<> {
        CO_ASSERT(co_await comes_true([&] { return worker(p).heartbeat.latency_p99.count() > 0; }));
        ::kill(worker(p).pid, SIGSTOP);
        CO_ASSERT(co_await comes_true([&] { return worker(p).heartbeat.missed > 20; }));
        ::kill(worker(p).pid, SIGCONT);
        CO_ASSERT(co_await comes_true([&] { return worker(p).heartbeat.latency > 60ms; }));
        CO_ASSERT(co_await comes_true([&] { return worker(p).heartbeat.latency < 30ms * slow; }));
        EXPECT_TRUE(worker(p).recycles.empty());
        EXPECT_EQ(worker(p).incarnation, 1u);
    });
}

TEST_F(Recycling, ByMemoryThatAWorkerMayNotHave) {
    auto how = patient();
    with_pool(how, [&](pool& p) -> awaitable<> {
        CO_ASSERT(co_await comes_true([&] { return worker(p).heartbeat.resident_bytes != 0; }));
        how.lifecycle.max_memory_bytes = worker(p).heartbeat.resident_bytes + (64 << 20);
    });
    with_pool(how, [](pool& p) -> awaitable<> {
        const auto before = worker(p).pid;
        CO_ASSERT_OK(co_await p.execute("leak", 20 << 20));
        co_await wait_for(300ms);
        EXPECT_EQ(worker(p).pid, before);
        CO_ASSERT_OK(co_await p.execute("leak", 80 << 20));
        CO_ASSERT(co_await comes_true([&] { return worker(p).recycles.contains(recycle_reason::memory); }));
        CO_ASSERT(co_await comes_true([&] { return !is_alive(before); }));
        EXPECT_NE(worker(p).pid, before);
        EXPECT_EQ(worker(p).restarts, 0u);
    });
}

TEST_F(Recycling, ALimitThatAFreshWorkerExceedsIsRefusedWithBothNumbers) {
    run([&]() -> awaitable<> {
        auto how = patient();
        how.lifecycle.max_memory_bytes = 1 << 20;
        pool p(io->get_executor(), how);
        EXPECT_TRUE(failed_saying(co_await p.start(), errc::invalid_options, "max_memory_bytes is 1048576", "has "));
    });
}

TEST_F(Recycling, NewCodeThatCannotStartLeavesTheOldWorkersServing) {
    for (const auto method : {start_method::fork, start_method::spawn}) {
        auto how = module_of(R"(
import os, snakepit
if os.path.exists(os.environ["SNAKEPIT_TEST_SCRATCH"] + "/broken"): raise RuntimeError("new code is broken")
@snakepit.tool
def pid(): return os.getpid()
)");
        how.workers.min = 2;
        how.start_method = method;
        with_pool(how, [this, method](pool& p) -> awaitable<> {
            const auto before = worker(p).pid;
            scratch().write("broken", "");
            EXPECT_TRUE(failed_saying(co_await p.recycle_all(), errc::module_failed, "new code is broken"));
            EXPECT_EQ(worker(p).pid, before);
            EXPECT_EQ(worker(p).state, worker_state::ready);
            const bool told = worker(p).recycling_failed.find("new code is broken") != std::string::npos;
            EXPECT_EQ(told, method == start_method::spawn) << "it was not even begun with the others";
            CO_ASSERT_OK(co_await p.execute("pid"));
            fs::remove(scratch().path() / "broken");
            CO_ASSERT_OK(co_await p.recycle_all());
            EXPECT_NE(worker(p).pid, before);
            EXPECT_EQ(worker(p).recycling_failed, "");
        });
    }
}

TEST_F(Recycling, OfAllLoadsNewCode) {
    auto how = module_of(R"(
import os, snakepit
with open(os.environ["SNAKEPIT_TEST_SCRATCH"] + "/version") as file: text = file.read()
@snakepit.tool
def version(): return text
)");
    scratch().write("version", "old");
    with_pool(how, [this](pool& p) -> awaitable<> {
        scratch().write("version", "new");
        CO_ASSERT_OK(co_await p.recycle("w0"));
        EXPECT_EQ(p.stats().start_method, start_method::fork) << p.stats().start_method_reason;
        EXPECT_EQ((co_await p.call<std::string>("version")), "old") << "forked from what was imported";
        CO_ASSERT_OK(co_await p.recycle_all());
        for (int i = 0; i < 20; ++i) EXPECT_EQ((co_await p.call<std::string>("version")), "new");
    });
}

/// Two recycle_all at once: the code changes in between.
class RecyclingTwice : public Recycling {
protected:
    [[nodiscard]] pool_options versioned() {
        scratch().write("version", "one");
        auto how = module_of(R"(
import os, time, snakepit
scratch = os.environ["SNAKEPIT_TEST_SCRATCH"]
with open(scratch + "/version") as file: text = file.read()
with open(scratch + "/imports", "a") as file: file.write(text + "\n")
while os.path.exists(scratch + "/slow"): time.sleep(0.002)
@snakepit.tool
def version(): return [os.getpid(), text]
@snakepit.tool
def echo(value): return value
@snakepit.tool
def hold():
    with open(scratch + "/begun", "a") as file: file.write("held\n")
    while not os.path.exists(scratch + "/go"): time.sleep(0.002)
)");
        how.workers.min = 2;
        return how;
    }
    [[nodiscard]] std::size_t imports() const { return line_count(scratch().path() / "imports"); }
    /// Under a load, so that both workers are asked.
    static awaitable<> all_are_of(pool& p, const char* version) {
        load busy;
        co_await under_load(p, busy, 8);
        std::set<int> left{worker(p, 0).pid, worker(p, 1).pid};
        for (int i = 0; i < 1'000 && !left.empty(); ++i) {
            const auto said = co_await p.execute("version");
            CO_ASSERT_OK(said);
            EXPECT_EQ(said->at(1), version);
            left.erase(said->at(0).get<int>());
        }
        EXPECT_TRUE(left.empty()) << *left.begin() << " was not asked";
        co_await end(busy);
    }
};

TEST_F(RecyclingTwice, WhileTheModuleIsImportedLoadsTheNewestCode) {
    with_pool(versioned(), [this](pool& p) -> awaitable<> {
        load busy;
        co_await under_load(p, busy, 8);
        scratch().write("slow", "");
        scratch().write("version", "two");
        std::optional<result<void>> first;
        std::optional<result<void>> second;
        async_recycle_all(p, [&](result<void> r) { first = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return imports() == 2; }));
        scratch().write("version", "three");
        async_recycle_all(p, [&](result<void> r) { second = std::move(r); });
        fs::remove(scratch().path() / "slow");
        CO_ASSERT(co_await comes_true([&] { return first && second; }));
        EXPECT_OK(*first);
        EXPECT_OK(*second);
        EXPECT_EQ(imports(), 3u);
        co_await end(busy);
        co_await all_are_of(p, "three");
    });
}

TEST_F(RecyclingTwice, WhileWorkersAreReplacedLoadsTheNewestCode) {
    with_pool(versioned(), [this](pool& p) -> awaitable<> {
        std::vector<result<value>> held;
        for (int i = 0; i < 2; ++i)
            async_execute(p, "hold", value::array(), call_options(), [&](result<value> r) { held.push_back(r); });
        CO_ASSERT(co_await comes_true([&] { return line_count(scratch().path() / "begun") == 2; }));
        const auto before = std::pair(worker(p, 0).pid, worker(p, 1).pid);
        scratch().write("version", "two");
        std::optional<result<void>> first;
        std::optional<result<void>> second;
        async_recycle_all(p, [&](result<void> r) { first = std::move(r); });
        // w0 has its successor, and its turn goes on, since its predecessor is at a call; w1 waits for a turn.
        CO_ASSERT(co_await comes_true([&] { return worker(p, 0).pid != before.first; }));
        scratch().write("version", "three");
        async_recycle_all(p, [&](result<void> r) { second = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return imports() == 3; }));
        co_await wait_for(100ms);
        EXPECT_FALSE(first || second || !held.empty());
        EXPECT_EQ(worker(p, 1).pid, before.second);
        scratch().write("go", "");
        CO_ASSERT(co_await comes_true([&] { return first && second && held.size() == 2; }));
        EXPECT_OK(*first);
        EXPECT_OK(*second);
        for (const auto& h : held) EXPECT_OK(h);
        co_await all_are_of(p, "three");
    });
}

TEST_F(Recycling, OfWhatIsNotThereIsRefused) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), patient());
        EXPECT_TRUE(failed_with(co_await p.recycle("w0"), errc::not_started));
        CO_ASSERT_OK(co_await p.start());
        EXPECT_TRUE(failed_saying(co_await p.recycle(""), errc::bad_arguments, "\"\"", "w0"));
        EXPECT_TRUE(failed_saying(co_await p.recycle("w7"), errc::bad_arguments, "\"w7\"", "w0"));
        CO_ASSERT_OK(co_await p.stop());
        EXPECT_TRUE(failed_with(co_await p.recycle("w0"), errc::pool_stopped));
    });
}

TEST_F(Recycling, DuringTheStopEndsWithIt) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), patient(3));
        CO_ASSERT_OK(co_await p.start());
        std::optional<result<void>> recycled;
        async_recycle_all(p, [&](result<void> r) { recycled = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return is(p, worker_state::recycling) || recycled; }));
        CO_ASSERT_OK(co_await p.stop());
        CO_ASSERT(co_await comes_true([&] { return recycled.has_value(); }));
        EXPECT_TRUE(failed_with(*recycled, errc::pool_stopped));
    });
}

}  // namespace
}  // namespace snakepit::test
