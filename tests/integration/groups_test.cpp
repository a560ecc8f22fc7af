// Workers of several kinds behind one pool.

#include "support/pool_fixture.hpp"

#include <gmock/gmock.h>
#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace snakepit::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

group_options io_group() {
    group_options io;
    io.name = "io";
    io.workers = {.min = 1};
    io.profile = worker_profile::async;
    return io;
}

group_options thread_group() {
    group_options threads;
    threads.name = "threads";
    threads.workers = {.min = 1};
    threads.profile = worker_profile::thread;
    threads.threads_per_worker = 2;
    return threads;
}

class Groups : public PoolTest {
protected:
    [[nodiscard]] pool_options grouped() const {
        auto how = options("grouped");
        how.groups = {io_group(), thread_group()};
        return how;
    }
    /// Of a start that fails.
    result<void> start_failure(const pool_options& how) {
        result<void> outcome;
        run([&]() -> awaitable<> {
            pool p(io->get_executor(), how);
            outcome = co_await p.start();
            CO_ASSERT_OK(co_await p.stop());
        });
        return outcome;
    }
};

std::vector<std::string> ids(const pool& p) {
    std::vector<std::string> all;
    for (const auto& w : p.workers()) all.push_back(w.id);
    return all;
}

TEST_F(Groups, EachToolRunsWhereItBelongs) {
    with_pool(grouped(), [](pool& p) -> awaitable<> {
        EXPECT_THAT(ids(p), ElementsAre("w0", "w1", "io-0", "threads-0"));
        std::set<std::string> own;
        for (int i = 0; i < 20; ++i) {
            const auto computed = co_await p.execute_reply("compute", list(i));
            const auto fetched = co_await p.execute_reply("fetch", list(i));
            CO_ASSERT_OK(computed);
            CO_ASSERT_OK(fetched);
            EXPECT_EQ(computed->result[0], 2 * i);
            EXPECT_EQ(fetched->result[0], i);
            own.insert(computed->worker);
            EXPECT_EQ(fetched->worker, "io-0");
        }
        EXPECT_THAT(own, testing::Each(testing::StartsWith("w")));
        EXPECT_NE((co_await p.call<std::string>("thread_name")), "MainThread");
        std::set<std::string> groups;
        for (const auto& w : p.workers()) groups.insert(w.group);
        EXPECT_THAT(groups, ElementsAre("", "io", "threads"));
        EXPECT_EQ(p.tools().size(), 14u);
        EXPECT_EQ(p.tools()[0].name, "compute");
        EXPECT_THAT(p.tools().back().flags, testing::Contains("group:threads"));
    });
}

TEST_F(Groups, OnesQueueDoesNotHoldUpTheOthers) {
    with_pool(grouped(), [this](pool& p) -> awaitable<> {
        const auto gate = (scratch().path() / "gate").string();
        int released = 0;
        for (int i = 0; i < 6; ++i)
            async_execute(p, "hold_until", list(gate), call_options(),
                          [&](const result<value>& r) { released += r.has_value(); });
        CO_ASSERT(co_await comes_true([&] { return p.stats().groups[0].queued == 4; }));
        // As many at once as one worker takes, while all processes are busy.
        int met = 0;
        for (int i = 0; i < 50; ++i)
            async_execute(p, "meet", list(50), call_options(), [&](const result<value>& r) { met += r.has_value(); });
        CO_ASSERT(co_await comes_true([&] { return met == 50; }));
        EXPECT_EQ(released, 0);
        std::ofstream(gate) << "";
        CO_ASSERT(co_await comes_true([&] { return released == 6; }));
        const auto s = p.stats();
        CO_ASSERT(s.groups.size() == 3);
        EXPECT_EQ(s.groups[0].name, "");
        EXPECT_EQ(s.groups[0].succeeded, 6u);
        EXPECT_EQ(s.groups[1].name, "io");
        EXPECT_EQ(s.groups[1].succeeded, 50u);
        EXPECT_EQ(s.groups[2].submitted, 0u);
        EXPECT_EQ(s.succeeded, 56u);
        EXPECT_GE(s.waits.count, 4u);
    });
}

TEST_F(Groups, ASessionIsTheSameInAll) {
    with_pool(grouped(), [](pool& p) -> awaitable<> {
        for (int i = 0; i < 10; ++i) {
            const auto options = call_options().session("s" + std::to_string(i)).affinity(affinity::strict);
            CO_ASSERT_OK(co_await p.execute("remember", list("x", i), options));
            const auto first = co_await p.execute_reply("recall", list("x"), options);
            CO_ASSERT_OK(first);
            EXPECT_EQ(first->result, i);
            EXPECT_FALSE(first->moved) << "it has a worker in each group";
            CO_ASSERT_OK(co_await p.execute("remember", list("x", -i), options));
            const auto again = co_await p.execute_reply("recall", list("x"), options);
            CO_ASSERT_OK(again);
            EXPECT_EQ(again->result, -i);
            EXPECT_FALSE(again->moved);
        }
    });
}

TEST_F(Groups, StreamsAndMapsGoWhereTheirToolBelongs) {
    auto how = module_of(R"(
import snakepit

@snakepit.tool
def double(x):
    return 2 * x

@snakepit.tool(group="io")
async def count(n):
    for i in range(n):
        yield i

@snakepit.tool(group="io")
async def triple(x):
    return 3 * x
)");
    how.groups = {io_group()};
    with_pool(how, [](pool& p) -> awaitable<> {
        auto items = co_await p.stream("count", list(5));
        int sum = 0;
        while (auto item = co_await items.next()) sum += item->get<int>();
        CO_ASSERT_OK(co_await items.result());
        EXPECT_EQ(sum, 10);
        for (const auto& [tool, factor] : {std::pair("double", 2), std::pair("triple", 3)}) {
            std::vector<int> inputs = {1, 2, 3, 4};
            auto results = p.map<int>(tool, inputs);
            int seen = 0;
            while (auto one = co_await results.next()) {
                CO_ASSERT_OK(one->outcome);
                EXPECT_EQ(*one->outcome, factor * static_cast<int>(one->index + 1));
                ++seen;
            }
            EXPECT_EQ(seen, 4);
        }
        const auto s = p.stats();
        EXPECT_EQ(s.groups[0].succeeded, 4u);
        EXPECT_EQ(s.groups[1].succeeded, 5u);
    });
}

TEST_F(Groups, AreResizedAndRecycledByTheirNames) {
    auto how = grouped();
    how.group = "cpu";
    with_pool(how, [](pool& p) -> awaitable<> {
        CO_ASSERT_OK(co_await p.resize("io", {.min = 3}));
        EXPECT_THAT(ids(p), ElementsAre("w0", "w1", "io-0", "io-1", "io-2", "threads-0"));
        CO_ASSERT_OK(co_await p.resize({.min = 1}));
        EXPECT_THAT(ids(p), ElementsAre("w0", "io-0", "io-1", "io-2", "threads-0"));
        CO_ASSERT_OK(co_await p.resize("cpu", {.min = 2}));
        CO_ASSERT_OK(co_await p.resize("io", {.min = 1}));
        EXPECT_THAT(ids(p), ElementsAre("w0", "w1", "io-0", "threads-0"));
        EXPECT_TRUE(
            failed_saying(co_await p.resize("oi", {.min = 1}), errc::bad_arguments, "\"oi\"", "cpu, io, threads"));
        EXPECT_TRUE(failed_saying(co_await p.resize("io", {.min = -1}), errc::invalid_options, "workers.min"));

        const auto before = (co_await p.call<std::vector<int>>("fetch", 1)).value()[1];
        CO_ASSERT_OK(co_await p.recycle("io-0"));
        EXPECT_NE((co_await p.call<std::vector<int>>("fetch", 1)).value()[1], before);
        EXPECT_TRUE(failed_saying(co_await p.recycle("io-7"), errc::bad_arguments, "io-7", "w0, w1, io-0, threads-0"));
        CO_ASSERT_OK(co_await p.recycle_all());
        for (const auto& w : p.workers()) EXPECT_GE(w.incarnation, 2u) << w.id;
    });
}

TEST_F(Groups, OneOutOfServiceLeavesTheOthersAlone) {
    auto how = grouped();
    how.restart_backoff.longest = 1h;
    how.restart_limit.per_worker = 1;
    with_pool(how, [](pool& p) -> awaitable<> {
        for (int i = 0; i < 2; ++i) {
            EXPECT_TRUE(failed_with(co_await p.execute("die"), errc::worker_lost));
        }
        CO_ASSERT(co_await comes_true([&] { return !p.stats().degraded.empty(); }));
        EXPECT_TRUE(
            failed_saying(co_await p.execute("fetch", 1), errc::pool_degraded, "every worker of group \"io\"", "io-0"));
        CO_ASSERT_OK(co_await p.execute("compute", 1));
        CO_ASSERT_OK(co_await p.execute("thread_name"));
        const auto s = p.stats();
        EXPECT_THAT(s.degraded, HasSubstr("io-0"));
        EXPECT_EQ(s.groups[0].degraded, "");
        EXPECT_THAT(s.groups[1].degraded, HasSubstr("io-0"));
    });
}

TEST_F(Groups, ACircleOfHostToolsOverSeveralIsBroken) {
    auto how = module_of(R"(
import snakepit

@snakepit.tool
def compute(depth):
    return snakepit.host.to_io(depth) if depth else 0

@snakepit.tool(group="io")
def fetch(depth):
    return snakepit.host.to_own(depth)
)");
    how.workers = {.min = 1};
    how.groups = {io_group()};
    how.groups[0].profile = worker_profile::process;
    with_pool(how, [](pool& p) -> awaitable<> {
        auto tools = p.host_tools();
        EXPECT_OK(tools.add("to_io", [&p](int depth) -> asio::awaitable<result<value>> {
            co_return co_await p.execute("fetch", list(depth));
        }));
        EXPECT_OK(tools.add("to_own", [&p](int depth) -> asio::awaitable<result<value>> {
            co_return co_await p.execute("compute", list(depth - 1));
        }));
        const auto closed = co_await p.execute("compute", list(1));
        EXPECT_TRUE(failed_saying(closed, errc::tool_raised, "WouldDeadlock"));
        EXPECT_EQ((co_await p.execute("compute", list(0))), 0);
        CO_ASSERT_OK(co_await p.resize({.min = 2}));
        EXPECT_EQ((co_await p.execute("compute", list(1))), 0) << "there is one more for the call that comes back";
    });
}

TEST_F(Groups, WarmupsAndAdaptersAreThoseOfTheirTools) {
    auto how = grouped();
    how.groups[0].warmup = "warm";
    with_pool(how, [](pool& p) -> awaitable<> {
        EXPECT_EQ((co_await p.execute("is_warm")), true);
        EXPECT_EQ((co_await p.execute("adapters")), list("Ours", "Everybodys"));
        EXPECT_EQ((co_await p.execute("adapters_of_io")), list("Theirs", "Everybodys"));
    });
    how.groups[0].warmup = "compute";
    EXPECT_TRUE(failed_saying(start_failure(how), errc::invalid_options, "warmup is 'compute'"));
}

TEST_F(Groups, WithoutAnyEveryWorkerHasEveryTool) {
    with_pool(options("grouped"), [](pool& p) -> awaitable<> {
        CO_ASSERT_OK(co_await p.execute("fetch", 1));
        CO_ASSERT_OK(co_await p.execute("compute", 1));
        EXPECT_EQ(p.stats().groups.size(), 1u);
        EXPECT_TRUE(failed_saying(co_await p.resize("io", {.min = 1}), errc::bad_arguments, "there are: none"));
    });
}

TEST_F(Groups, AToolThatThereIsNotIsToldWithTheNamesOfAll) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), grouped());
        EXPECT_TRUE(failed_with(co_await p.execute("fetch", 1), errc::not_started));
        CO_ASSERT_OK(co_await p.start());
        EXPECT_TRUE(failed_saying(co_await p.execute("fetsch", 1), errc::unknown_tool, "did you mean fetch"));
        EXPECT_TRUE(failed_saying(co_await p.execute("computer", 1), errc::unknown_tool, "did you mean compute"));
        auto wrong = co_await p.stream("fetsch");
        EXPECT_TRUE(failed_saying(co_await wrong.result(), errc::unknown_tool, "did you mean fetch"));
        CO_ASSERT_OK(co_await p.stop());
        EXPECT_TRUE(failed_with(co_await p.execute("fetsch", 1), errc::pool_stopped));
        EXPECT_TRUE(failed_with(co_await p.execute("fetch", 1), errc::pool_stopped));
    });
}

TEST_F(Groups, ThatDoNotFitTheToolsFailTheStart) {
    auto how = options("grouped");
    how.groups = {io_group()};
    EXPECT_TRUE(failed_saying(start_failure(how), errc::invalid_options, "'thread_name' has group='threads'", "io"));
    how.groups = {io_group(), thread_group(), thread_group()};
    how.groups[2].name = "gpu";
    EXPECT_TRUE(failed_saying(start_failure(how), errc::invalid_options, "no tool of grouped", "'gpu'"));
    auto all_named = module_of(R"(
import snakepit

@snakepit.tool(group="io")
async def fetch():
    return 1

@snakepit.tool(group="cpu")
def compute():
    return 2
)");
    all_named.groups = {io_group()};
    all_named.groups[0].name = "cpu";
    all_named.groups[0].profile = worker_profile::process;
    EXPECT_TRUE(failed_saying(start_failure(all_named), errc::invalid_options, "'fetch' has group='io'"));
    all_named.groups.push_back(io_group());
    EXPECT_TRUE(failed_saying(start_failure(all_named), errc::invalid_options, "no tool of", "pool's own workers"));
    all_named.groups.erase(all_named.groups.begin());
    all_named.group = "cpu";
    with_pool(all_named, [](pool& p) -> awaitable<> {
        EXPECT_EQ((co_await p.execute_reply("compute")).value().worker.substr(0, 1), "w");
        EXPECT_EQ((co_await p.execute_reply("fetch")).value().worker, "io-0");
    });
    auto unsafe = module_of(R"(
import snakepit

@snakepit.tool(group="threads")
def silent():
    return 1

@snakepit.tool
def other():
    return 2
)");
    unsafe.groups = {thread_group()};
    EXPECT_TRUE(failed_saying(start_failure(unsafe), errc::invalid_options, "silent", "thread_safe=True"));
}

TEST(GroupOptions, MistakesAreNamedWithTheirGroup) {
    pool_options how;
    how.module = "m";
    how.group = "9";
    auto bad = io_group();
    bad.workers = {.min = -1};
    bad.max_concurrency = 0;
    bad.lifecycle.jitter = 2;
    bad.scaling.up_after = {};
    auto nameless = io_group();
    nameless.name = "a b";
    how.groups = {io_group(), bad, nameless};
    std::vector<std::string> fields;
    for (const auto& m : how.mistakes()) fields.push_back(m.field);
    EXPECT_THAT(fields,
                UnorderedElementsAre("group", "groups.name", "groups.io.workers.min", "groups.io.max_concurrency",
                                     "groups.io.lifecycle.jitter", "groups.io.scaling.up_after", "groups.name"));
    how.group.clear();
    how.groups.clear();
    for (int i = 0; i < 17; ++i) {
        how.groups.push_back(io_group());
        how.groups.back().name += std::to_string(i);
    }
    const auto too_many = how.mistakes();
    ASSERT_EQ(too_many.size(), 1u);
    EXPECT_EQ(too_many[0].field, "groups");
    how.groups.pop_back();
    EXPECT_TRUE(how.mistakes().empty());
    how.group = how.groups[0].name;
    EXPECT_EQ(how.mistakes().size(), 1u);
}

}  // namespace
}  // namespace snakepit::test
