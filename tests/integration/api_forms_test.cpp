// Every documented way to call a pool, above all as temporaries inside co_await expressions, where g++ 12 destroys some
// twice; and every kind of completion token and executor.

#include "support/pool_fixture.hpp"

#include <asio/bind_executor.hpp>
#include <asio/detached.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/experimental/deferred.hpp>
#include <asio/strand.hpp>
#include <asio/system_executor.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_future.hpp>
#include <future>
#include <thread>

namespace geometry {
struct point {
    int x = 0;
    int y = 0;
    friend bool operator==(const point&, const point&) = default;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(point, x, y)

/// Text or nothing, with conversions of its own.
struct maybe_text {
    std::optional<std::string> text;
};
void to_json(nlohmann::json& to, const maybe_text& from) {
    to = from.text ? nlohmann::json(*from.text) : nlohmann::json();
}
void from_json(const nlohmann::json& from, maybe_text& to) {
    if (from.is_null()) to.text.reset();
    else to.text = from.get<std::string>();
}

struct picky {
    int v = 0;
};
void to_json(nlohmann::json& to, const picky& p) {
    if (p.v < 0) throw std::invalid_argument("to_json does not like it");
    to = p.v;
}
void from_json(const nlohmann::json& from, picky& to) {
    to.v = from.get<int>();
    if (to.v < 0) throw std::out_of_range("from_json does not like it");
}
}  // namespace geometry

namespace snakepit::test {
namespace {

using geometry::maybe_text;
using geometry::picky;
using geometry::point;

class ApiForms : public LaneTest {};
INSTANTIATE_LANES(ApiForms);

TEST_P(ApiForms, ExecuteTakesEveryFormOfArguments) {
    with_pool(options(), [](pool& p) -> awaitable<> {
        const std::string text = "a text that is too long for the small string optimisation";
        const auto echoed =
            co_await p.execute("echo", args("value", text), call_options().session("alice").timeout(20s));
        CO_ASSERT_OK(echoed);
        EXPECT_EQ(*echoed, text);
        EXPECT_EQ(co_await p.execute("nothing"), value());
        EXPECT_EQ(co_await p.execute("nothing", args()), value());
        EXPECT_EQ(co_await p.execute("nothing", value::array()), value());
        EXPECT_EQ(co_await p.execute("echo", text), text);
        EXPECT_EQ(co_await p.execute("echo", 42), 42);
        EXPECT_EQ(co_await p.execute("echo", true), true);
        EXPECT_EQ(co_await p.execute("echo", 0.5), 0.5);
        EXPECT_EQ(co_await p.execute("echo", nullptr), value());
        EXPECT_EQ(co_await p.execute("echo", byte_list(0, 1, 255)), byte_list(0, 1, 255));
        EXPECT_EQ(co_await p.execute("add", list(1, 2)), 3);
        EXPECT_EQ(co_await p.execute("add", list(1), call_options().timeout(10s)), 11);
        EXPECT_EQ(co_await p.execute("add", args("a", 1)), 11);
        EXPECT_EQ(co_await p.execute("add", args("a", 1, "b", 2), call_options()), 3);
        EXPECT_EQ(co_await p.execute("add", args(std::string("a"), 1, std::string("b"), 2L)), 3);
        const auto named = co_await p.execute("names",
                                              args("text", text, "list", std::vector<int>(2, 7), "inner",
                                                   args("deep", list(text, text)), "none", nullptr),
                                              call_options().session(text).timeout(std::chrono::minutes(1)));
        EXPECT_EQ(named, args("args", list(), "kwargs",
                              args("text", text, "list", list(7, 7), "inner", args("deep", list(text, text)), "none",
                                   nullptr)));
        const auto positional = co_await p.execute("names", list(text, args("a", text), list()));
        EXPECT_EQ(positional, args("args", list(text, args("a", text), list()), "kwargs", args()));
        EXPECT_EQ(co_await p.execute("session", args(), call_options().session("bob")), "bob");
        EXPECT_EQ(co_await p.execute("session"), value());
        if (const auto r = co_await p.execute("echo", args("value", text)); r) EXPECT_EQ(*r, text);
        else ADD_FAILURE() << r.error();
        EXPECT_EQ((co_await p.execute("echo", text)).value().get<std::string>(), text);
    });
}

TEST_P(ApiForms, CallConvertsArgumentsAndResults) {
    with_pool(options(), [](pool& p) -> awaitable<> {
        const std::map<std::string, double> by_name{{"a", 0.5}};
        const std::vector<point> points{{1, 2}, {3, 4}};
        const point by{10, 20};
        const auto moved = co_await p.call<std::vector<point>>("translate", points, by);
        CO_ASSERT_OK(moved);
        EXPECT_EQ(*moved, (std::vector<point>{{11, 22}, {13, 24}}));
        EXPECT_EQ((co_await p.call<point>("echo", by)), by);
        EXPECT_EQ((co_await p.call<point>(call_options().timeout(10s), "echo", by)), by);
        EXPECT_EQ((co_await p.call<int>("add", 1)), 11);
        EXPECT_EQ((co_await p.call<int>("add", 1, 2)), 3);
        EXPECT_EQ((co_await p.call<std::string>("echo", "a literal")), "a literal");
        EXPECT_EQ((co_await p.call<std::string>("echo", std::string(100, 'x'))), std::string(100, 'x'));
        EXPECT_EQ((co_await p.call<std::string>(call_options().session("carol"), "session")), "carol");
        EXPECT_EQ(
            (co_await p.call<std::vector<std::string>>("echo", std::vector<std::string>(3, std::string(50, 'y')))),
            std::vector<std::string>(3, std::string(50, 'y')));
        EXPECT_EQ((co_await p.call<std::map<std::string, double>>("echo", by_name)), by_name);
        EXPECT_EQ((co_await p.call<value>("echo", args("a", 1))), args("a", 1));
        EXPECT_EQ((co_await p.call<value>("echo", list(1, 2))), list(1, 2)) << "one argument, a list";
        EXPECT_TRUE((co_await p.call<void>("echo", 1)).has_value());
        EXPECT_TRUE((co_await p.call<void>("nothing")).has_value());
        const auto none = co_await p.call<maybe_text>("nothing");
        EXPECT_TRUE(none && !none->text);
        const maybe_text given{std::string(100, 'z')};
        const auto some = co_await p.call<maybe_text>("echo", given);
        EXPECT_TRUE(some && some->text == given.text);
        const auto numbers = co_await p.call<array>("echo", array::of(std::vector<double>(3, 0.5)));
        CO_ASSERT_OK(numbers);
        EXPECT_EQ(*numbers, array::of(std::vector<double>(3, 0.5)));
    });
}

TEST_P(ApiForms, AResultOfAnotherTypeIsATypedError) {
    with_pool(options(), [](pool& p) -> awaitable<> {
        EXPECT_TRUE(failed_with(co_await p.call<int>("echo", "no number"), errc::type_mismatch));
        EXPECT_TRUE(failed_with(co_await p.call<std::string>("echo", 1), errc::type_mismatch));
        EXPECT_TRUE(failed_with(co_await p.call<point>("echo", "no point"), errc::type_mismatch));
        EXPECT_TRUE(failed_with(co_await p.call<point>("echo", args("x", 1)), errc::type_mismatch));
        EXPECT_TRUE(failed_with(co_await p.call<array>("echo", 1), errc::type_mismatch));
        EXPECT_TRUE(failed_with(co_await p.call<int>("nothing"), errc::type_mismatch));
        const auto wrong = co_await p.call<int>("echo", "no number");
        EXPECT_TRUE(!wrong && wrong.error().tool() == "echo") << wrong.error();
        EXPECT_EQ((co_await p.call<int>("add", 1)), 11) << "the pool goes on";
    });
}

TEST_P(ApiForms, ConversionsThatThrowSomethingElseEndTheCallToo) {
    // The promise: "Never throws for an outcome listed here", and every operation completes.
    with_pool(options(), [](pool& p) -> awaitable<> {
        try {
            EXPECT_TRUE(failed_with(co_await p.call<picky>("echo", -1), errc::type_mismatch));
        } catch (const std::out_of_range&) {
            ADD_FAILURE() << "from_json's exception came out of call<T>";
        }
        try {
            const picky bad{-1};
            EXPECT_TRUE(failed_with(co_await p.call<int>("echo", bad), errc::unserializable));
        } catch (const std::invalid_argument&) {
            ADD_FAILURE() << "to_json's exception came out of call<T>";
        }
        EXPECT_EQ((co_await p.call<int>("add", 1)), 11) << "the pool goes on";
    });
}

TEST_P(ApiForms, TokenFormsServeCallbacks) {
    auto p = std::make_unique<pool>(io->get_executor(), options());
    std::vector<std::string> seen;
    async_start(*p, [&](result<void> up) {
        EXPECT_OK(up);
        seen.emplace_back("start");
        async_execute(*p, "add", args("a", 1), call_options().timeout(10s), [&](result<value> sum) {
            EXPECT_EQ(sum, 11);
            seen.emplace_back("execute");
            async_call<int>(
                *p, call_options(),
                [&](result<int> n) {
                    EXPECT_EQ(n, 3);
                    seen.emplace_back("call");
                    async_stop(*p, [&](result<void> down) {
                        EXPECT_OK(down);
                        seen.emplace_back("stop");
                    });
                },
                "add", 1, 2);
            EXPECT_EQ(seen.back(), "execute") << "a handler never runs inside its initiating function";
        });
    });
    EXPECT_TRUE(seen.empty());
    drive(30s * slow, [&] { return seen.size() == 4; });
    EXPECT_EQ(seen, (std::vector<std::string>{"start", "execute", "call", "stop"}));
}

TEST_P(ApiForms, TokenFormsServeFutures) {
    std::optional<pool> p(std::in_place, io->get_executor(), options());
    std::thread user([&] {
        EXPECT_OK(async_start(*p, asio::use_future).get());
        EXPECT_EQ(async_execute(*p, "add", args("a", 1), call_options(), asio::use_future).get(), 11);
        EXPECT_EQ((async_call<int>(*p, call_options(), asio::use_future, "add", 1, 2).get()), 3);
        std::vector<std::future<result<value>>> many;
        for (int i = 0; i < 200; ++i) many.push_back(async_execute(*p, "echo", i, call_options(), asio::use_future));
        for (int i = 0; i < 200; ++i) EXPECT_EQ(many[static_cast<std::size_t>(i)].get(), i);
        EXPECT_TRUE(
            failed_with(async_call<point>(*p, call_options(), asio::use_future, "add", 1).get(), errc::type_mismatch));
        EXPECT_OK(async_stop(*p, asio::use_future).get());
    });
    auto work = asio::make_work_guard(*io);
    std::thread waiter([&] {
        user.join();
        work.reset();
    });
    drive(60s * slow, [] { return true; });
    waiter.join();
}

TEST_P(ApiForms, TokenFormsServeAwaitablesOfOtherExecutorTypes) {
    using strand = asio::strand<asio::io_context::executor_type>;
    auto on = asio::make_strand(*io);
    bool done = false;
    pool p(io->get_executor(), options());
    asio::co_spawn(
        on,
        [&]() -> asio::awaitable<void, strand> {
            const asio::use_awaitable_t<strand> here;
            CO_ASSERT_OK(co_await async_start(p, here));
            EXPECT_EQ(co_await async_execute(p, "add", args("a", 1), call_options().session("x").timeout(10s), here),
                      11);
            EXPECT_TRUE(on.running_in_this_thread());
            EXPECT_EQ((co_await async_call<int>(p, call_options(), here, "add", 1, 2)), 3);
            EXPECT_EQ(
                (co_await async_call<std::string>(p, call_options().timeout(10s), here, "echo", std::string(100, 'q'))),
                std::string(100, 'q'));
            EXPECT_TRUE(on.running_in_this_thread());
            CO_ASSERT_OK(co_await async_stop(p, here));
            done = true;
        },
        [](std::exception_ptr failed) {
            if (failed) PoolTest::report(failed);
        });
    drive(30s * slow, [&] { return done; });
}

TEST_P(ApiForms, TokenFormsServeDeferred) {
    with_pool(options(), [](pool& p) -> awaitable<> {
        auto later = async_execute(p, "add", args("a", 1), call_options().timeout(10s), asio::experimental::deferred);
        EXPECT_EQ(co_await std::move(later)(asio::use_awaitable), 11);
        EXPECT_EQ(p.stats().submitted, 1u) << "nothing is begun before the deferred operation is";
        auto typed = async_call<int>(p, call_options(), asio::experimental::deferred, "add", 1, 2);
        EXPECT_EQ(co_await std::move(typed)(asio::use_awaitable), 3);
    });
}

TEST_P(ApiForms, HandlersRunOnTheirOwnExecutor) {
    with_pool(options(), [](pool& p) -> awaitable<> {
        asio::thread_pool other(1);
        std::thread::id others;
        asio::post(other, [&] { others = std::this_thread::get_id(); });
        std::promise<std::thread::id> ran;
        async_execute(p, "echo", 1, call_options(),
                      asio::bind_executor(other.get_executor(),
                                          [&](const result<value>&) { ran.set_value(std::this_thread::get_id()); }));
        EXPECT_EQ(ran.get_future().get(), others) << "also while the pool's own context is blocked, as here";
        std::promise<void> anywhere;
        async_execute(
            p, "echo", 1, call_options(),
            asio::bind_executor(asio::system_executor(), [&](const result<value>&) { anywhere.set_value(); }));
        anywhere.get_future().get();
        other.join();
        co_return;
    });
}

TEST_P(ApiForms, AwaitedOnAnotherContextItResumesThere) {
    with_pool(options(), [](pool& p) -> awaitable<> {
        asio::io_context other;
        std::vector<int> sums;
        std::thread::id thread;
        for (int i = 0; i < 50; ++i)
            asio::co_spawn(
                other,
                [&p, &sums, &thread, i]() -> awaitable<> {
                    const auto sum = co_await p.call<int>("add", i, i);
                    EXPECT_EQ(std::this_thread::get_id(), thread);
                    if (sum) sums.push_back(*sum);
                    else ADD_FAILURE() << sum.error();
                },
                asio::detached);
        std::promise<void> over;
        std::thread runner([&] {
            thread = std::this_thread::get_id();
            other.run();  // the pool's own context is blocked meanwhile: this one must not need it
            over.set_value();
        });
        over.get_future().get();
        runner.join();
        EXPECT_EQ(sums.size(), 50u);
        co_return;
    });
}

TEST_P(ApiForms, APoolMayRunOnAThreadPoolAndOnAStrand) {
    asio::thread_pool threads(3);
    const auto use = [](pool& p) -> awaitable<> {
        CO_ASSERT_OK(co_await p.start());
        for (int i = 0; i < 100; ++i) EXPECT_EQ((co_await p.call<int>("add", i, 1)), i + 1);
        CO_ASSERT_OK(co_await p.stop());
    };
    {
        pool p(threads.get_executor(), options());
        asio::co_spawn(threads, use(p), asio::use_future).get();
    }
    {
        pool p(asio::make_strand(threads), options());
        std::vector<std::future<void>> all;
        asio::co_spawn(threads, [&]() -> awaitable<> { CO_ASSERT_OK(co_await p.start()); }, asio::use_future).get();
        for (int i = 0; i < 8; ++i)
            all.push_back(asio::co_spawn(
                threads,
                [&p]() -> awaitable<> {
                    for (int n = 0; n < 100; ++n) EXPECT_EQ((co_await p.call<int>("add", n, 1)), n + 1);
                },
                asio::use_future));
        for (auto& f : all) f.get();
        asio::co_spawn(threads, [&]() -> awaitable<> { CO_ASSERT_OK(co_await p.stop()); }, asio::use_future).get();
    }
    threads.join();
}

TEST_P(ApiForms, ManyThreadsMayCallAtOnce) {
    with_pool(options(), [](pool& p) -> awaitable<> {
        std::vector<std::thread> users;
        std::atomic<int> right = 0;
        for (int t = 0; t < 4; ++t)
            users.emplace_back([&p, &right, t] {
                asio::io_context mine;
                for (int c = 0; c < 16; ++c)
                    asio::co_spawn(
                        mine,
                        [&p, &right, t, c]() -> awaitable<> {
                            for (int i = 0; i < 50; ++i) {
                                const int n = t * 1'000'000 + c * 1'000 + i;
                                const auto r = co_await p.call<int>("echo", n);
                                if (r == n) ++right;
                            }
                        },
                        asio::detached);
                mine.run();
            });
        for (auto& u : users) u.join();
        EXPECT_EQ(right, 4 * 16 * 50);
        const auto s = p.stats();
        EXPECT_EQ(s.submitted, s.succeeded + s.failed + s.cancelled + s.expired + s.queued + s.in_flight);
        co_return;
    });
}

class Pools : public PoolTest {};

TEST_F(Pools, TwoInOneProcessDoNotDisturbEachOther) {
    auto second = module_of("import snakepit\n@snakepit.tool\ndef echo(value): return ['second', value]\n");
    run([&]() -> awaitable<> {
        pool a(io->get_executor(), options());
        pool b(io->get_executor(), second);
        CO_ASSERT_OK(co_await a.start());
        CO_ASSERT_OK(co_await b.start());
        EXPECT_EQ(co_await a.execute("echo", 1), 1);
        EXPECT_EQ(co_await b.execute("echo", 1), list("second", 1));
        EXPECT_OK(co_await a.stop());
        EXPECT_EQ(co_await b.execute("echo", 2), list("second", 2));
        EXPECT_TRUE(failed_with(co_await a.execute("echo", 1), errc::pool_stopped));
        EXPECT_OK(co_await b.stop());
    });
}

TEST_F(Pools, MayShareASocketDirectory) {
    auto how = options();
    how.socket_directory = (scratch().path() / "sockets").string();
    run([&]() -> awaitable<> {
        pool a(io->get_executor(), how);
        pool b(io->get_executor(), how);
        CO_ASSERT_OK(co_await a.start());
        CO_ASSERT_OK(co_await b.start());
        EXPECT_EQ(co_await a.execute("echo", 1), 1);
        EXPECT_OK(co_await a.stop());
        EXPECT_EQ(co_await b.execute("echo", 1), 1);
        EXPECT_OK(co_await b.stop());
    });
    EXPECT_TRUE(fs::is_empty(scratch().path() / "sockets"));
}

TEST_F(Pools, TellTheirToolsAndWorkers) {
    const auto how = module_of(R"(
import snakepit
@snakepit.tool
def first(a: int, /, b: str = "x", *rest, c, d=1.5, **more) -> list:
    """What it does."""
@snakepit.tool(name="second tool")
def other(): pass
)");
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), how);
        EXPECT_TRUE(p.tools().empty());
        EXPECT_TRUE(p.stats().workers.empty());
        CO_ASSERT_OK(co_await p.start());
        const auto tools = p.tools();
        CO_ASSERT(tools.size() == 2);
        EXPECT_EQ(tools[0].name, "first");
        EXPECT_EQ(tools[0].doc, "What it does.");
        EXPECT_EQ(tools[0].returns, "list");
        CO_ASSERT(tools[0].parameters.size() == 6);
        using kind = tool_parameter::kind;
        EXPECT_EQ(tools[0].parameters[0].passing, kind::positional_only);
        EXPECT_EQ(tools[0].parameters[0].annotation, "int");
        EXPECT_EQ(tools[0].parameters[1].passing, kind::positional_or_keyword);
        EXPECT_EQ(tools[0].parameters[1].default_text, "'x'");
        EXPECT_EQ(tools[0].parameters[2].passing, kind::var_positional);
        EXPECT_EQ(tools[0].parameters[3].passing, kind::keyword_only);
        EXPECT_FALSE(tools[0].parameters[3].has_default);
        EXPECT_EQ(tools[0].parameters[4].default_text, "1.5");
        EXPECT_EQ(tools[0].parameters[5].passing, kind::var_keyword);
        EXPECT_EQ(tools[1].name, "second tool");
        EXPECT_EQ(co_await p.execute("second tool"), value());
        const auto s = p.stats();
        CO_ASSERT(s.workers.size() == 1);
        EXPECT_EQ(s.workers[0].id, "w0");
        EXPECT_EQ(s.workers[0].state, worker_state::ready);
        EXPECT_GT(s.workers[0].pid, 0);
        EXPECT_EQ(s.workers[0].incarnation, 1u);
        EXPECT_EQ(s.workers[0].lane, "direct");
        EXPECT_OK(co_await p.stop());
        EXPECT_EQ(p.stats().workers[0].state, worker_state::dead);
        EXPECT_EQ(p.stats().workers[0].last_exit, "exit code 0");
    });
}

TEST_F(Pools, AdaptersKeepStatePerWorkerAndAreTornDown) {
    auto how = module_of(R"(
import os, snakepit
SCRATCH = os.environ["SNAKEPIT_TEST_SCRATCH"]
class Counter(snakepit.Adapter):
    def setup(self):
        self.n = 100
    def teardown(self):
        open(SCRATCH + "/torn-down", "a").write(f"{self.n}\n")
    @snakepit.tool
    def next(self):
        self.n += 1
        return self.n
)");
    with_pool(how, [](pool& p) -> awaitable<> {
        EXPECT_EQ((co_await p.call<int>("next")), 101);
        EXPECT_EQ((co_await p.call<int>("next")), 102);
    });
    EXPECT_EQ(file_text(scratch().path() / "torn-down"), "102\n");
}

}  // namespace
}  // namespace snakepit::test
