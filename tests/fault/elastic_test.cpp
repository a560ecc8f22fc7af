// Pools that grow and shrink: with their load, when they are told to, and in the middle of everything else.

#include "support/pool_fixture.hpp"

#include <sys/resource.h>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <csignal>

namespace snakepit::test {
namespace {

class Elastic : public PoolTest {
protected:
    /// One call at a worker at a time; what is not needed leaves soon.
    [[nodiscard]] pool_options elastic(int min, int max, std::string module = "everyday") const {
        auto how = options(std::move(module));
        how.workers = {min, max};
        how.calls_per_worker = 1;
        how.scaling = {.up_after = 20ms, .down_after = 200ms};
        how.restart_backoff.first = 5ms;
        return how;
    }
    /// Elastic, but nobody leaves for being idle.
    [[nodiscard]] pool_options patient(int min, int max, std::string module = "everyday") const {
        auto how = elastic(min, max, std::move(module));
        how.scaling.down_after = 1h;
        return how;
    }

    /// A call of `hold`: it runs until it is told to end.
    struct held {
        std::string name;
        std::optional<result<value>> outcome;
    };
    std::shared_ptr<held> hold(pool& p) {
        auto made = std::make_shared<held>();
        made->name = "hold" + std::to_string(++holds_);
        async_execute(p, "hold", made->name, call_options(), [made](result<value> r) { made->outcome = std::move(r); });
        return made;
    }
    std::vector<std::shared_ptr<held>> hold(pool& p, int n) {
        std::vector<std::shared_ptr<held>> all;
        for (int i = 0; i < n; ++i) all.push_back(hold(p));
        return all;
    }
    [[nodiscard]] bool begun(const held& h) const {
        return file_text(scratch().path() / "log").find("begin " + h.name + "\n") != std::string::npos;
    }
    [[nodiscard]] int begun(const std::vector<std::shared_ptr<held>>& all) const {
        return static_cast<int>(std::count_if(all.begin(), all.end(), [&](const auto& h) { return begun(*h); }));
    }
    void release(const held& h) const { scratch().write(h.name + ".go", ""); }
    /// All of them end, with success.
    awaitable<> finish(const std::vector<std::shared_ptr<held>>& all) {
        for (const auto& h : all) release(*h);
        for (const auto& h : all) {
            EXPECT_TRUE(co_await comes_true([&] { return h->outcome.has_value(); })) << h->name;
            CO_ASSERT(h->outcome);
            EXPECT_EQ(*h->outcome, h->name);
        }
    }

    static std::vector<std::string> ids(const pool& p) {
        std::vector<std::string> all;
        for (const auto& w : p.stats().workers) all.push_back(w.id);
        return all;
    }
    static std::size_t count(const pool& p) { return p.stats().workers.size(); }
    static std::size_t up(const pool& p) {
        const auto all = p.stats().workers;
        return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), serves));
    }
    static worker_stats worker(const pool& p, const std::string& id) {
        for (auto& w : p.stats().workers)
            if (w.id == id) return w;
        return {};
    }
    static bool is(const pool& p, const std::string& id, worker_state s) {
        const auto w = worker(p, id);
        return !w.id.empty() && w.state == s;
    }

private:
    int holds_ = 0;
};
using names = std::vector<std::string>;

// ---- with the load

TEST_F(Elastic, GrowsWhileCallsWaitAndShrinksWhenNoneDo) {
    with_pool(elastic(1, 3), [this](pool& p) -> awaitable<> {
        EXPECT_EQ(ids(p), names{"w0"});
        const auto all = hold(p, 5);
        CO_ASSERT(co_await comes_true([&] { return begun(all) == 3; }));
        EXPECT_EQ(ids(p), (names{"w0", "w1", "w2"}));
        EXPECT_EQ(p.stats().queued, 2u) << "the maximum";
        co_await finish(all);
        EXPECT_EQ(count(p), 3u);
        CO_ASSERT(co_await comes_true([&] { return count(p) == 1; }));
        CO_ASSERT_OK(co_await p.execute("echo", 1));
        const auto s = p.stats();
        EXPECT_EQ(s.succeeded, 6u) << "counters of the pool do not go back";
        EXPECT_EQ(s.degraded, "");
        EXPECT_EQ(s.workers.at(0).restarts, 0u);
    });
}

TEST_F(Elastic, GrowsForCallsThatWaitBehindASlowOneWhichGoToTheNewWorkers) {
    auto how = patient(1, 3);
    how.calls_per_worker = 64;
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto stuck = hold(p, 3);
        CO_ASSERT(co_await comes_true([&] { return begun(stuck) == 3; }));
        EXPECT_EQ(up(p), 3u);
        co_await finish(stuck);
    });
}

TEST_F(Elastic, DoesNotGrowForCallsThatDoNotWaitLong) {
    auto how = patient(1, 4);
    how.scaling.up_after = 1h;
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto all = hold(p, 3);
        CO_ASSERT(co_await comes_true([&] { return begun(all) == 1; }));
        co_await finish(all);
        EXPECT_EQ(count(p), 1u);
    });
}

TEST_F(Elastic, GoesDownToNobodyAndComesBackWithTheNextCall) {
    auto how = elastic(0, 2);
    how.scaling.up_after = 1h;  // no call has to wait for that when there is nobody
    how.scaling.down_after = 50ms;
    with_pool(how, [](pool& p) -> awaitable<> {
        for (int i = 0; i < 3; ++i) {
            CO_ASSERT(co_await comes_true([&] { return count(p) == 0; }));
            EXPECT_FALSE(p.tools().empty());
            EXPECT_EQ(p.stats().degraded, "");
            EXPECT_TRUE(failed_with(co_await p.execute("no_such_tool", 1), errc::unknown_tool));
            EXPECT_EQ((co_await p.execute("echo", i)), i);
            EXPECT_EQ(ids(p), names{"w0"});
        }
        CO_ASSERT(co_await comes_true([&] { return count(p) == 0; }));
        CO_ASSERT_OK(co_await p.recycle_all());
        EXPECT_TRUE(failed_saying(co_await p.recycle("w0"), errc::bad_arguments, "there are: none"));
    });
}

TEST_F(Elastic, ACallThatBringsUpTheFirstWorkerHasItsOwnDeadline) {
    auto how = elastic(0, 1);
    how.start_method = start_method::spawn;  // slow
    with_pool(how, [](pool& p) -> awaitable<> {
        CO_ASSERT(co_await comes_true([&] { return count(p) == 0; }));
        const value one = 1;
        const auto late = co_await p.execute("echo", one, call_options().timeout(10ms));
        EXPECT_TRUE(failed_with(late, errc::deadline_exceeded));
        EXPECT_EQ(count(p), 1u) << "it comes all the same";
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Elastic, WorkersThatCannotBeAddedDoNotStormAndHurtNobody) {
    auto how = module_of(R"(
import os, time, snakepit
scratch = os.environ["SNAKEPIT_TEST_SCRATCH"]
with open(scratch + "/starts", "a") as file: file.write("start\n")
if os.path.exists(scratch + "/broken"): raise RuntimeError("no more of us")
@snakepit.tool
def hold(name):
    while not os.path.exists(f"{scratch}/{name}.go"): time.sleep(0.002)
    return name
)");
    how.start_method = start_method::spawn;
    how.workers = {1, 20};
    how.calls_per_worker = 1;
    how.scaling = {.up_after = 5ms, .down_after = 1h};
    how.restart_backoff.first = 20ms;
    how.restart_backoff.longest = 1h;
    how.restart_limit.per_worker = 2;
    with_pool(how, [this](pool& p) -> awaitable<> {
        scratch().write("broken", "");
        const auto all = hold(p, 10);
        CO_ASSERT(co_await comes_true([&] { return is(p, "w1", worker_state::dead); }, 20s * slow));
        EXPECT_EQ(line_count(scratch().path() / "starts"), 1u + 3u) << "one is tried, three times";
        EXPECT_EQ(ids(p), (names{"w0", "w1"}));
        EXPECT_NE(p.stats().degraded.find("no more of us"), std::string::npos) << p.stats().degraded;
        release(*all[0]);
        CO_ASSERT(co_await comes_true([&] { return all[0]->outcome.has_value(); }));
        EXPECT_OK(*all[0]->outcome);
        fs::remove(scratch().path() / "broken");
        const worker_count one{1, 1};
        CO_ASSERT_OK(co_await p.resize(one));
        EXPECT_EQ(ids(p), names{"w0"}) << "the one out of service goes first";
        EXPECT_EQ(p.stats().degraded, "");
        const worker_count two{2, 2};
        CO_ASSERT_OK(co_await p.resize(two));
        EXPECT_EQ(worker(p, "w1").incarnation, 1u) << "another one, of the same name";
        co_await finish(all);
    });
}

TEST_F(Elastic, AWorkerOutOfServiceIsSentAwayAndTheNextCallTriesAnother) {
    auto how = elastic(0, 2);
    how.restart_limit.per_worker = 1;
    how.restart_backoff.longest = 1h;
    with_pool(how, [this](pool& p) -> awaitable<> {
        for (int i = 0; i < 2; ++i) {
            const auto running = hold(p, 1);
            CO_ASSERT(co_await comes_true([&] { return begun(running) == 1; }));
            ::kill(worker(p, "w0").pid, SIGKILL);
            CO_ASSERT(co_await comes_true([&] { return running[0]->outcome.has_value(); }));
        }
        CO_ASSERT(co_await comes_true([&] { return is(p, "w0", worker_state::dead); }));
        EXPECT_TRUE(failed_with(co_await p.execute("echo", 1), errc::pool_degraded));
        CO_ASSERT(co_await comes_true([&] { return count(p) == 0; }));
        EXPECT_EQ(p.stats().degraded, "");
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Elastic, APoolWithNothingToDoSleeps) {
    auto how = patient(1, 8);
    how.heartbeat.initial_delay = 1h;
    how.scaling.up_after = 1ms;
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto all = hold(p, 4);
        CO_ASSERT(co_await comes_true([&] { return begun(all) == 4; }));
        co_await finish(all);
        const auto switches = [] {
            rusage used{};
            ::getrusage(RUSAGE_THREAD, &used);
            return used.ru_nvcsw + used.ru_nivcsw;
        };
        co_await wait_for(50ms);  // what was under way has ended
        const auto before = switches();
        co_await wait_for(500ms);
        EXPECT_LT(switches() - before, 50) << "every millisecond would be five hundred";
    });
}

// ---- when it is told to

TEST_F(Elastic, ResizesUpAndDownUnderLoadWithoutLosingACall) {
    with_pool(
        patient(2, 2),
        [](pool& p) -> awaitable<> {
            bool over = false;
            int running = 0;
            std::uint64_t served = 0;
            const auto caller = [&]() -> awaitable<> {
                ++running;
                while (!over) {
                    const auto mine = served++;
                    EXPECT_EQ((co_await p.execute("echo", mine)), mine);
                }
                --running;
            };
            const auto on = co_await asio::this_coro::executor;
            for (int i = 0; i < 8; ++i) asio::co_spawn(on, caller, [](std::exception_ptr) {});
            for (const int size : {4, 1, 3, 1, 2}) {
                const worker_count to{size, size};
                CO_ASSERT_OK(co_await p.resize(to));
                EXPECT_EQ(count(p), static_cast<std::size_t>(size));
                EXPECT_EQ(up(p), static_cast<std::size_t>(size));
                const auto before = served;
                CO_ASSERT(co_await comes_true([&] { return served > before + 20; }));
            }
            over = true;
            CO_ASSERT(co_await comes_true([&] { return running == 0; }));
            const auto s = p.stats();
            EXPECT_EQ(s.failed, 0u);
            for (const auto& w : s.workers) EXPECT_EQ(w.restarts, 0u) << "planned";
        },
        60s * slow);
}

TEST_F(Elastic, WhoLeavesFinishesWhatItHoldsHoweverLongThatTakes) {
    auto how = patient(2, 2);
    how.drain_timeout = 50ms;
    how.stop_grace = 100ms;
    how.calls_per_worker = 2;
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto running = hold(p, 2);
        CO_ASSERT(co_await comes_true([&] { return begun(running) == 2; }));
        std::optional<result<void>> resized;
        const worker_count one{1, 1};
        async_resize(p, one, [&](result<void> r) { resized = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return is(p, "w1", worker_state::stopping); }));
        const auto later = hold(p, 2);
        co_await wait_for(300ms);
        EXPECT_FALSE(resized || running[0]->outcome || running[1]->outcome);
        EXPECT_TRUE(is_alive(worker(p, "w1").pid));

        // Its number is its own until it has gone.
        const worker_count two{2, 2};
        std::optional<result<void>> again;
        async_resize(p, two, [&](result<void> r) { again = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return is(p, "w2", worker_state::executing); }));
        EXPECT_EQ(ids(p), (names{"w0", "w1", "w2"}));
        EXPECT_FALSE(again) << "there is one too many";
        CO_ASSERT(co_await comes_true([&] { return begun(later) >= 1; }));  // by w2
        co_await finish(running);
        co_await finish(later);
        CO_ASSERT(co_await comes_true([&] { return count(p) == 2; }));
        EXPECT_EQ(ids(p), (names{"w0", "w2"}));
        const worker_count three{3, 3};
        CO_ASSERT_OK(co_await p.resize(three));
        EXPECT_EQ(ids(p), (names{"w0", "w1", "w2"}));
        CO_ASSERT(resized && again);
        EXPECT_OK(*resized);
        EXPECT_OK(*again);
    });
}

TEST_F(Elastic, CallsThatWereNotSentToWhoLeavesGoToOthers) {
    auto how = patient(2, 2, "stubborn");
    how.calls_per_worker = 64;
    with_pool(how, [](pool& p) -> awaitable<> {
        // Until it is known to be fast.
        const auto is_deep = [&] { return worker(p, "w0").credit >= 20 && worker(p, "w1").credit >= 20; };
        for (int i = 0; i < 10 || (i < 1'000 && !is_deep()); ++i) CO_ASSERT_OK(co_await p.execute("echo", i));
        // Their streams are full: most calls have a place at one of them, and are not sent.
        const auto first = worker(p, "w0").pid;
        const auto second = worker(p, "w1").pid;
        for (const auto pid : {first, second}) ::kill(pid, SIGSTOP);
        // Outlives this coroutine, which may end early.
        const auto outcomes = std::make_shared<std::vector<std::optional<result<value>>>>(40);
        const value large = std::string(100'000, 'x');
        for (auto& o : *outcomes)
            async_execute(p, "echo", large, call_options(), [outcomes, &o](result<value> r) { o = std::move(r); });
        EXPECT_EQ(worker(p, "w1").outstanding, 20u);
        std::optional<result<void>> resized;
        const worker_count one{1, 1};
        async_resize(p, one, [&](result<void> r) { resized = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return is(p, "w1", worker_state::stopping) && p.stats().queued > 0; }));
        ::kill(first, SIGCONT);
        CO_ASSERT(co_await comes_true([&] { return p.stats().succeeded > 20; }));
        EXPECT_GT(worker(p, "w1").outstanding, 0u);
        ::kill(second, SIGCONT);
        CO_ASSERT(co_await comes_true([&] { return resized.has_value(); }));
        EXPECT_OK(*resized);
        for (auto& o : *outcomes) {
            CO_ASSERT(co_await comes_true([&] { return o.has_value(); }));
            EXPECT_OK(*o);
        }
    });
}

TEST_F(Elastic, WhoLeavesIsStillWatchedOver) {
    auto how = patient(2, 2, "stubborn");
    how.heartbeat = {.interval = 50ms, .timeout = 50ms * slow, .max_missed = 3, .initial_delay = 0ms, .jitter = 0};
    with_pool(how, [](pool& p) -> awaitable<> {
        const auto forever = call_options().timeout(call_options::no_timeout);
        std::vector<std::optional<result<value>>> stuck(2);
        for (auto& s : stuck)
            async_execute(p, "hang", value::array(), forever, [&](result<value> r) { s = std::move(r); });
        const worker_count one{1, 1};
        CO_ASSERT_OK(co_await p.resize(one));
        EXPECT_EQ(ids(p), names{"w0"});
        CO_ASSERT(co_await comes_true([&] { return stuck[0] && stuck[1]; }));
        EXPECT_TRUE(failed_saying(*stuck[0], errc::worker_lost, "did not answer"));
        EXPECT_TRUE(failed_saying(*stuck[1], errc::worker_lost, "did not answer"));
        EXPECT_OK(co_await p.execute("echo", 1));
    });
}

TEST_F(Elastic, WhoLeavesAndDiesIsNotStartedAgain) {
    with_pool(patient(2, 2), [this](pool& p) -> awaitable<> {
        const auto running = hold(p, 2);
        CO_ASSERT(co_await comes_true([&] { return begun(running) == 2; }));
        std::optional<result<void>> resized;
        const worker_count one{1, 1};
        async_resize(p, one, [&](result<void> r) { resized = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return is(p, "w1", worker_state::stopping); }));
        ::kill(worker(p, "w1").pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return resized.has_value(); }));
        EXPECT_OK(*resized);
        EXPECT_EQ(ids(p), names{"w0"});
        for (const auto& h : running) release(*h);
        CO_ASSERT(co_await comes_true([&] { return running[0]->outcome && running[1]->outcome; }));
        EXPECT_EQ(running[0]->outcome->has_value() + running[1]->outcome->has_value(), 1);
    });
}

TEST_F(Elastic, AResizeThatCannotBeReachedSaysWhyAndIsReachedLater) {
    auto how = module_of(R"(
import os, snakepit
if os.path.exists(os.environ["SNAKEPIT_TEST_SCRATCH"] + "/broken"): raise RuntimeError("no more of us")
@snakepit.tool
def echo(value): return value
)");
    how.start_method = start_method::spawn;
    how.restart_backoff.first = 50ms;
    with_pool(how, [this](pool& p) -> awaitable<> {
        scratch().write("broken", "");
        const worker_count three{3, 3};
        EXPECT_TRUE(failed_saying(co_await p.resize(three), errc::module_failed, "no more of us"));
        EXPECT_EQ(count(p), 3u);
        EXPECT_OK(co_await p.execute("echo", 1));
        fs::remove(scratch().path() / "broken");
        CO_ASSERT(co_await comes_true([&] { return up(p) == 3; }, 20s * slow));
        EXPECT_OK(co_await p.resize(three));
    });
}

TEST_F(Elastic, SizesThatCannotBeAreRefused) {
    run([&]() -> awaitable<> {
        auto how = patient(1, 1);
        how.queue_limit = 0;
        pool p(io->get_executor(), how);
        const worker_count one{1, 1};
        EXPECT_TRUE(failed_with(co_await p.resize(one), errc::not_started));
        CO_ASSERT_OK(co_await p.start());
        EXPECT_TRUE(failed_saying(co_await p.resize({-1, 0}), errc::invalid_options, "workers.min is -1", "0 to 1000"));
        EXPECT_TRUE(failed_saying(co_await p.resize(worker_count{.min = 3, .max = 2}), errc::invalid_options,
                                  "workers.max is 2", "0, or workers.min to 1000"));
        const worker_count nobody{0, 2};
        EXPECT_TRUE(failed_saying(co_await p.resize(nobody), errc::invalid_options, "queue_limit is 0"));
        EXPECT_EQ(ids(p), names{"w0"});
        CO_ASSERT_OK(co_await p.stop());
        EXPECT_TRUE(failed_with(co_await p.resize(one), errc::pool_stopped));
    });
}

TEST_F(Elastic, CancellingAResizeEndsTheWaitingAlone) {
    with_pool(patient(2, 2), [this](pool& p) -> awaitable<> {
        const auto running = hold(p, 2);
        CO_ASSERT(co_await comes_true([&] { return begun(running) == 2; }));
        asio::cancellation_signal cancel;
        std::optional<result<void>> resized;
        const worker_count one{1, 1};
        async_resize(p, one,
                     asio::bind_cancellation_slot(cancel.slot(), [&](result<void> r) { resized = std::move(r); }));
        CO_ASSERT(co_await comes_true([&] { return is(p, "w1", worker_state::stopping); }));
        cancel.emit(asio::cancellation_type::terminal);
        CO_ASSERT(co_await comes_true([&] { return resized.has_value(); }));
        EXPECT_TRUE(failed_with(*resized, errc::cancelled));
        co_await finish(running);
        CO_ASSERT(co_await comes_true([&] { return count(p) == 1; }));
    });
}

TEST_F(Elastic, WorkersThatAreReplacedMayLeaveMeanwhile) {
    auto how = patient(3, 3);
    how.lifecycle.max_recycling = 2;
    with_pool(how, [](pool& p) -> awaitable<> {
        for (int i = 0; i < 5; ++i) {
            std::optional<result<void>> recycled;
            async_recycle_all(p, [&](result<void> r) { recycled = std::move(r); });
            CO_ASSERT(co_await comes_true([&] {
                return recycled || is(p, "w0", worker_state::recycling) || is(p, "w1", worker_state::recycling);
            }));
            const worker_count one{1, 1};
            CO_ASSERT_OK(co_await p.resize(one));
            CO_ASSERT(co_await comes_true([&] { return recycled.has_value(); }));
            EXPECT_OK(*recycled);
            CO_ASSERT_OK(co_await p.recycle(ids(p).at(0)));  // its turn has not been lost
            const worker_count three{3, 3};
            CO_ASSERT_OK(co_await p.resize(three));
            EXPECT_EQ(up(p), 3u);
        }
    });
}

TEST_F(Elastic, AWorkerThatIsBeingStartedAgainMayLeave) {
    auto how = patient(3, 3);
    how.restart_backoff.first = 1h;
    how.restart_backoff.longest = 1h;
    with_pool(how, [](pool& p) -> awaitable<> {
        ::kill(worker(p, "w0").pid, SIGKILL);
        CO_ASSERT(co_await comes_true(
            [&] { return is(p, "w0", worker_state::restarting) && worker(p, "w0").restarts == 1; }));
        const worker_count two{2, 2};
        CO_ASSERT_OK(co_await p.resize(two));
        EXPECT_EQ(ids(p), (names{"w1", "w2"})) << "it is of no use";
    });
}

TEST_F(Elastic, ALaterResizeTakesThePlaceOfAnEarlierOne) {
    with_pool(patient(2, 2), [this](pool& p) -> awaitable<> {
        const auto running = hold(p, 2);
        CO_ASSERT(co_await comes_true([&] { return begun(running) == 2; }));
        std::optional<result<void>> down;
        const worker_count one{1, 1};
        async_resize(p, one, [&](result<void> r) { down = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return is(p, "w1", worker_state::stopping); }));
        EXPECT_FALSE(down);
        std::optional<result<void>> up_again;
        const worker_count three{3, 3};
        async_resize(p, three, [&](result<void> r) { up_again = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return up(p) == 3; }));
        EXPECT_FALSE(down || up_again) << "with the one that leaves there are four";
        co_await finish(running);
        CO_ASSERT(co_await comes_true([&] { return down && up_again; }));
        EXPECT_OK(*down);
        EXPECT_OK(*up_again);
    });
}

// ---- and the end

TEST_F(Elastic, AStopEndsAResizeAndGivesWhoLeavesItsOrdinaryTime) {
    auto how = patient(2, 4);
    how.drain_timeout = 100ms;
    how.stop_grace = 100ms;
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        CO_ASSERT_OK(co_await p.start());
        const auto running = hold(p, 2);
        CO_ASSERT(co_await comes_true([&] { return begun(running) == 2; }));
        std::optional<result<void>> resized;
        const worker_count one{1, 1};
        async_resize(p, one, [&](result<void> r) { resized = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return is(p, "w1", worker_state::stopping); }));
        co_await wait_for(300ms);
        EXPECT_FALSE(running[0]->outcome || running[1]->outcome || resized);
        CO_ASSERT_OK(co_await p.stop());
        CO_ASSERT(running[0]->outcome && running[1]->outcome && resized);
        EXPECT_TRUE(failed_with(*resized, errc::pool_stopped));
        EXPECT_TRUE(failed_with(*running[0]->outcome, errc::pool_stopped));
        EXPECT_TRUE(failed_with(*running[1]->outcome, errc::pool_stopped));
    });
}

TEST_F(Elastic, ASecondStopHastensWhoLeaves) {
    auto how = patient(2, 2);
    how.drain_timeout = 1h;
    how.stop_grace = 100ms;
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        CO_ASSERT_OK(co_await p.start());
        const auto running = hold(p, 2);
        CO_ASSERT(co_await comes_true([&] { return begun(running) == 2; }));
        const worker_count one{1, 1};
        async_resize(p, one, [](result<void>) {});
        CO_ASSERT(co_await comes_true([&] { return is(p, "w1", worker_state::stopping); }));
        std::optional<result<void>> down;
        async_stop(p, [&](result<void> r) { down = std::move(r); });
        co_await wait_for(300ms);
        EXPECT_FALSE(down || running[0]->outcome || running[1]->outcome) << "the first one has patience";
        CO_ASSERT_OK(co_await p.stop());
        CO_ASSERT(down && running[0]->outcome && running[1]->outcome);
    });
}

TEST_F(Elastic, AStopWhileItGrowsLeavesNothingBehind) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), patient(1, 6));
        CO_ASSERT_OK(co_await p.start());
        std::optional<result<void>> resized;
        const worker_count six{6, 6};
        async_resize(p, six, [&](result<void> r) { resized = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return count(p) == 6; }));
        CO_ASSERT_OK(co_await p.stop());
        CO_ASSERT(co_await comes_true([&] { return resized.has_value(); }));
        EXPECT_TRUE(failed_with(*resized, errc::pool_stopped));
    });
}

TEST_F(Elastic, APoolDestroyedWhileItGrowsAndShrinksLeavesNothingBehind) {
    run([&]() -> awaitable<> {
        for (const int size : {1, 6}) {
            std::optional<result<void>> resized;
            std::shared_ptr<held> running;
            {
                pool p(io->get_executor(), patient(3, 3));
                CO_ASSERT_OK(co_await p.start());
                running = hold(p);
                CO_ASSERT(co_await comes_true([&] { return begun(*running); }));
                const worker_count to{size, size};
                async_resize(p, to, [&](result<void> r) { resized = std::move(r); });
                CO_ASSERT(co_await comes_true([&] { return count(p) != 3 || is(p, "w2", worker_state::stopping); }));
            }
            CO_ASSERT(co_await comes_true([&] { return running->outcome && resized; }));
            EXPECT_TRUE(failed_with(*running->outcome, errc::pool_stopped));
        }
    });
}

}  // namespace
}  // namespace snakepit::test
