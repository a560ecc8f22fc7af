// What a pool tells about itself, event by event.

#include "pool/pool_impl.hpp"
#include "support/pool_fixture.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <csignal>

namespace snakepit::test {
namespace {

using ::testing::ElementsAre;

/// Each event as a line.
struct scribe {
    std::vector<std::string>& to;

    void operator()(const happened::worker_hired& e) const { note("{} hired", e.worker); }
    void operator()(const happened::worker_left& e) const { note("{} left", e.worker); }
    void operator()(const happened::worker_moved& e) const {
        note("{}.{} {} > {} ({})", e.worker, e.incarnation, to_string(e.from), to_string(e.to), e.cause);
    }
    void operator()(const happened::loop_blocked& e) const {
        const bool is_late = e.so_far >= 1s;
        const bool has_stack = e.stack.find("in block_loop") != std::string::npos;
        note("{}.{} blocked{} by {}{}", e.worker, e.incarnation, is_late ? "" : " for a moment", e.by,
             has_stack ? ", it is there" : "");
    }
    void operator()(const happened::worker_ended& e) const {
        const bool killed = e.why.exit() && e.why.exit()->describe().find("SIGKILL") != std::string::npos;
        note("{}.{} ended{}{}", e.worker, e.incarnation, e.planned ? " as told" : "", killed ? " by SIGKILL" : "");
    }
    void operator()(const happened::worker_restarting& e) const {
        note("{} restarting {} ({})", e.worker, e.restarts, to_string(e.reason));
    }
    void operator()(const happened::worker_recycled& e) const {
        note("{}.{} recycled: {}", e.worker, e.incarnation, to_string(e.reason));
    }
    void operator()(const happened::group_degraded& e) const {
        note("degraded{}", e.why.find("restarted too often") != std::string::npos ? ": restarted too often" : "");
    }
    void operator()(const happened::group_recovered&) const { note("recovered"); }
    void operator()(const happened::group_resized& e) const { note("resized {} > {}", e.from.min, e.to.min); }
    template <class Other>
    void operator()(const Other&) const {}  // tested elsewhere

private:
    template <class... Args>
    void note(fmt::format_string<Args...> format, Args&&... args) const {
        to.push_back(fmt::format(format, std::forward<Args>(args)...));
    }
};

class Events : public PoolTest {
protected:
    [[nodiscard]] pool_options quiet() const {
        auto how = options();
        how.workers = {1, 1};
        how.restart_backoff.first = 5ms;
        how.heartbeat.initial_delay = 1h;  // which would tell of workers that work and that do not
        return how;
    }
    [[nodiscard]] event_subscription listen(const pool& p) {
        return p.events().subscribe(event_filter::lifecycle(),
                                    [this](const event& e) { std::visit(scribe{told_}, e.what); });
    }
    /// What was told since the last time.
    std::vector<std::string> told() { return std::exchange(told_, {}); }
    static bool is(const pool& p, std::uint64_t incarnation, worker_state s) {
        const auto w = p.workers().at(0);
        return w.incarnation == incarnation && w.state == s;
    }

private:
    std::vector<std::string> told_;
};

TEST_F(Events, TellTheLifeOfAPoolInItsOrder) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), quiet());
        auto ear = listen(p);
        CO_ASSERT_OK(co_await p.start());
        EXPECT_THAT(told(), ElementsAre("w0 hired", "w0.1 booting > ready (up)"));

        ::kill(p.workers().at(0).pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return is(p, 2, worker_state::ready); }));
        EXPECT_THAT(told(),
                    ElementsAre("w0.1 ready > restarting (lost)", "w0.1 ended by SIGKILL", "w0 restarting 1 (signal)",
                                "w0.1 restarting > booting (due)", "w0.2 booting > ready (up)"));

        CO_ASSERT_OK(co_await p.recycle("w0"));
        EXPECT_THAT(told(), ElementsAre("w0.2 ready > recycling (worn)", "w0.3 recycling > ready (successor_up)",
                                        "w0.3 recycled: asked", "w0.2 ended as told"));

        const worker_count two{2, 2};
        CO_ASSERT_OK(co_await p.resize(two));
        EXPECT_THAT(told(), ElementsAre("resized 1 > 2", "w1 hired", "w1.1 booting > ready (up)"));
        const worker_count one{1, 1};
        CO_ASSERT_OK(co_await p.resize(one));
        EXPECT_THAT(told(), ElementsAre("resized 2 > 1", "w1.1 ready > stopping (retire)", "w1.1 ended as told",
                                        "w1.1 stopping > dead (gone)", "w1 left"));

        CO_ASSERT_OK(co_await p.stop());
        EXPECT_THAT(told(),
                    ElementsAre("w0.3 ready > stopping (stop)", "w0.3 ended as told", "w0.3 stopping > dead (gone)"));
    });
}

TEST_F(Events, TellWhenThePoolIsDegradedAndWhenNotAnyMore) {
    auto how = quiet();
    how.restart_limit.per_worker = 1;
    how.restart_backoff.longest = 100ms;
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        CO_ASSERT_OK(co_await p.start());
        ::kill(p.workers().at(0).pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return is(p, 2, worker_state::ready); }));
        auto ear = listen(p);
        ::kill(p.workers().at(0).pid, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return is(p, 3, worker_state::ready); }));
        EXPECT_THAT(told(), ElementsAre("w0.2 ready > restarting (lost)", "w0.2 ended by SIGKILL",
                                        "w0.2 restarting > dead (spent)", "degraded: restarted too often",
                                        "w0.2 dead > booting (due)", "w0.3 booting > ready (up)", "recovered"));
        ear = {};
        CO_ASSERT_OK(co_await p.stop());
        EXPECT_THAT(told(), ElementsAre()) << "nobody listens any more";
    });
}

TEST_F(Events, TellOfALoopThatDoesNotTurn) {
    auto how = quiet();
    how.module = "several";
    how.profile = worker_profile::async;
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        CO_ASSERT_OK(co_await p.start());
        auto ear = listen(p);
        std::optional<result<value>> ended;
        async_execute(p, "block_loop", value::array(), call_options(), [&](result<value> r) { ended = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return p.workers().at(0).loop_blocked == 1; }));
        EXPECT_THAT(told(), ElementsAre("w0.1 blocked by 'block_loop' (call 1), it is there"));
        scratch().write("go", "");
        CO_ASSERT(co_await comes_true([&] { return ended.has_value(); }));
        CO_ASSERT_OK(*ended);
        std::vector<std::string> after;
        CO_ASSERT(co_await comes_true([&] {
            if (after.empty()) after = told();
            return !after.empty();
        }));
        EXPECT_THAT(after, ElementsAre("w0.1 blocked by 'block_loop' (call 1)"));
        EXPECT_EQ(p.workers().at(0).loop_blocked, 1u);
        ear = {};
        CO_ASSERT_OK(co_await p.stop());
    });
}

TEST_F(Events, OfAStartThatFails) {
    auto how = module_of("raise RuntimeError('no')\n");
    how.start_method = start_method::spawn;
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        const auto ear = listen(p);
        EXPECT_TRUE(failed_with(co_await p.start(), errc::module_failed));
        EXPECT_THAT(told(), ElementsAre("w0 hired", "w0.1 ended", "w0.1 booting > restarting (not_up)",
                                        "w0.1 restarting > stopping (stop)", "w0.1 stopping > dead (gone)"));
    });
}

}  // namespace
}  // namespace snakepit::test
