// Calls that run for long are told of once, with the stack, whatever they do.

#include "pool/profile.hpp"
#include "support/pool_fixture.hpp"

#include <snakepit/events.hpp>

#include <gmock/gmock.h>
#include <mutex>
#include <vector>

namespace snakepit::test {
namespace {

using ::testing::HasSubstr;

const std::string tools = R"(
import asyncio, ctypes, signal, time
import snakepit

__snakepit_thread_safe__ = True

@snakepit.tool
def doze(seconds):
    time.sleep(seconds)

@snakepit.tool
def hold_the_gil(seconds, rest):
    woken = ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # PyDLL: the GIL is kept; it ends at the first signal
    time.sleep(rest)
    return woken

@snakepit.tool(batch=True, max_batch=4, max_wait_ms=1500)
def gather(calls):
    return [0 for _ in calls]

@snakepit.tool
async def doze_async(seconds):
    await asyncio.sleep(seconds)
)";

class SlowCalls : public PoolTest {
protected:
    pool_options watched(worker_profile profile) {
        auto how = module_of(tools);
        how.workers = {1, 1};
        how.profile = profile;
        if (profile == worker_profile::thread) how.threads_per_worker = 2;
        how.slow_call_threshold = 200ms;
        how.heartbeat.interval = 50ms;
        return how;
    }
    event_subscription listen(pool& p) {
        return p.events().subscribe(event_filter::only<happened::call_slow>(), [this](const event& e) {
            const std::lock_guard lock(mutex_);
            told_.push_back(std::get<happened::call_slow>(e.what));
        });
    }
    [[nodiscard]] std::vector<happened::call_slow> told() const {
        const std::lock_guard lock(mutex_);
        return told_;
    }
    template <class... Arguments>
    static value list(Arguments... arguments) {
        return value::array({arguments...});
    }

    mutable std::mutex mutex_;
    std::vector<happened::call_slow> told_;
};

TEST_F(SlowCalls, AreToldOnceInEachProfile) {
    for (const auto profile : {worker_profile::process, worker_profile::thread, worker_profile::async}) {
        told_.clear();
        with_pool(watched(profile), [this](pool& p) -> awaitable<> {
            const auto ear = listen(p);
            CO_ASSERT_OK(co_await p.execute("doze", 0.0));
            CO_ASSERT_OK(co_await p.execute("doze", 1.0));
            CO_ASSERT_OK(co_await p.execute("doze_async", 1.0));
        });
        const auto all = told();
        ASSERT_EQ(all.size(), 2u) << detail::name_of(profile);
        EXPECT_EQ(all[0].tool, "doze");
        EXPECT_GE(all[0].running_for, 200ms);
        EXPECT_THAT(all[0].stack, HasSubstr("time.sleep(seconds)"));
        EXPECT_EQ(all[1].tool, "doze_async");
        EXPECT_THAT(all[1].stack, HasSubstr("in doze_async"));
    }
}

TEST_F(SlowCalls, AreToldOnceWhenTheyHoldTheGil) {
    for (const auto profile : {worker_profile::process, worker_profile::thread}) {
        told_.clear();
        with_pool(watched(profile), [this](pool& p) -> awaitable<> {
            const auto ear = listen(p);
            for (const double rest : {1.0, 0.0}) {
                const auto woken = co_await p.execute("hold_the_gil", list(2.0, rest));
                CO_ASSERT_OK(woken);
                EXPECT_EQ(*woken, 0) << "the look at it has ended what it waited for";
            }
        });
        const auto all = told();
        ASSERT_EQ(all.size(), 2u) << detail::name_of(profile);
        for (const auto& each : all) {
            EXPECT_EQ(each.tool, "hold_the_gil");
            EXPECT_GE(each.running_for, 200ms);
            EXPECT_THAT(each.stack, HasSubstr("in hold_the_gil"));
        }
    }
}

TEST_F(SlowCalls, AreNoneThatHaveNotBegun) {
    with_pool(watched(worker_profile::process), [this](pool& p) -> awaitable<> {
        const auto ear = listen(p);
        CO_ASSERT_OK(co_await p.execute("gather", 1));  // which waits for others first
    });
    EXPECT_TRUE(told().empty());
}

TEST_F(SlowCalls, BehindAnotherOneThatIsSlowAreToldToo) {
    with_pool(watched(worker_profile::thread), [this](pool& p) -> awaitable<> {
        const auto ear = listen(p);
        std::optional<result<value>> first;
        async_execute(p, "doze", list(4.0), call_options(), [&](result<value> r) { first = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return told().size() == 1; }));
        CO_ASSERT_OK(co_await p.execute("hold_the_gil", list(1.5, 0.0)));
        CO_ASSERT(co_await comes_true([&] { return first.has_value(); }));
    });
    const auto all = told();
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].tool, "doze");
    EXPECT_EQ(all[1].tool, "hold_the_gil");
    EXPECT_THAT(all[1].stack, HasSubstr("in hold_the_gil"));
}

}  // namespace
}  // namespace snakepit::test
